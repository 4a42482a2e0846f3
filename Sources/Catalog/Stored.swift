internal import GRDB

/// A value that is a row of a table: each property a column of its name; lists and values with
/// properties of their own are JSON text.
protocol Kept: Codable, Sendable {
  static var table: String { get }
}

/// A row that carries a value, so that values themselves need to know nothing of the database.
struct Stored<Value: Kept>: Codable, FetchableRecord, PersistableRecord {
  var value: Value

  init(_ value: Value) { self.value = value }

  init(from decoder: any Decoder) throws { value = try Value(from: decoder) }

  func encode(to encoder: any Encoder) throws { try value.encode(to: encoder) }

  static var databaseTableName: String { Value.table }
}

extension Catalog {
  /// Adds a row; one that has its key already is an error.
  func insert<Value: Kept>(_ value: Value) throws(CatalogError) {
    try write { try Stored(value).insert($0) }
  }

  /// Adds a row, or replaces the one that has its key.
  func put<Value: Kept>(_ value: Value) throws(CatalogError) {
    try write { try Stored(value).upsert($0) }
  }

  /// Replaces the row that has the value's key; false, and nothing, if there is none.
  func replace<Value: Kept>(_ value: Value) throws(CatalogError) -> Bool {
    try write { database in
      do { try Stored(value).update(database) } catch RecordError.recordNotFound { return false }
      return true
    }
  }

  /// The rows in an order, as far as a condition holds for them.
  func all<Value: Kept>(
    _ kind: Value.Type, where condition: String = "TRUE", by order: String, limit: Int = 100_000,
    _ arguments: StatementArguments = []
  ) throws(CatalogError) -> [Value] {
    try read { database in
      let sql =
        "SELECT * FROM \(Value.table) WHERE \(condition) ORDER BY \(order) LIMIT \(max(0, limit))"
      return try Stored<Value>.fetchAll(database, sql: sql, arguments: arguments).map(\.value)
    }
  }

  /// The first row for which a condition holds.
  func first<Value: Kept>(
    _ kind: Value.Type, where condition: String, _ arguments: StatementArguments
  ) throws(CatalogError) -> Value? {
    try read { try Self.first(kind, where: condition, arguments, $0) }
  }

  static func first<Value: Kept>(
    _ kind: Value.Type, where condition: String, _ arguments: StatementArguments,
    _ database: Database
  ) throws -> Value? {
    let sql = "SELECT * FROM \(Value.table) WHERE \(condition) LIMIT 1"
    return try Stored<Value>.fetchOne(database, sql: sql, arguments: arguments)?.value
  }

  /// Runs a statement; gives how many rows it changed.
  @discardableResult
  func change(_ sql: String, _ arguments: StatementArguments) throws(CatalogError) -> Int {
    try write { database in
      try database.execute(sql: sql, arguments: arguments)
      return database.changesCount
    }
  }
}

extension Database {
  /// The number the next row of a table that counts its rows gets; no number is given out twice.
  func nextNumber(of table: String) throws -> Int64 {
    let last = try Int64.fetchOne(
      self, sql: "SELECT seq FROM sqlite_sequence WHERE name = ?", arguments: [table])
    return (last ?? 0) + 1
  }
}
