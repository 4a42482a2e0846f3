public import Bytes
internal import GRDB

/// A test failover: what it was made of, how it went, how it ended.
public struct DrillRecord: Codable, Hashable, Sendable {
  /// How far it is, or how it ended.
  public enum Outcome: String, Codable, Sendable, CaseIterable {
    /// It is being begun, runs, or is being cleaned up.
    case active
    /// It began, and was cleaned up: the only success.
    case succeeded
    /// It could not be begun.
    case failed
    /// It was stopped on request before it had begun.
    case cancelled
  }

  /// Its number; later ones have higher ones.
  public var id: Int64
  /// The machine.
  public var machine: Identifier
  /// The drill's name, which its directory in the mount has too.
  public var name: String
  /// How far it is.
  public var outcome = Outcome.active
  /// The branch that its disks are.
  public var branch: Identifier?
  /// The recovery point that it is made of.
  public var point: ChosenPoint?
  /// When it was asked for.
  public var started: Timestamp
  /// When its machine could be used.
  public var ready: Timestamp?
  /// When it is cleaned up by itself.
  public var expires: Timestamp?
  /// When it was over.
  public var ended: Timestamp?
  /// What the operator noted at its clean-up.
  public var notes: String?
  /// Who asked for it.
  public var `operator`: String?
  /// Who cleaned it up; nil if nobody asked for that.
  public var endedBy: String?
  /// What was checked and compared: a JSON document.
  public var report: String?
}

extension DrillRecord: Kept {
  static var table: String { "drill" }
}

extension Catalog {
  /// Drills that are kept of a machine; older ones are forgotten as new ones come.
  public static let drillLimit = 1000

  /// Keeps a drill of a machine that asks for it, and gives it its number.
  static func add(
    _ new: NewDrill, of record: RecoveryRecord, _ now: Timestamp, _ database: Database
  ) throws -> DrillRecord {
    let drill = DrillRecord(
      id: try database.nextNumber(of: DrillRecord.table), machine: record.machine, name: new.name,
      started: now, expires: new.expires, operator: record.operator)
    try Stored(drill).insert(database)
    let machine = record.machine.description
    try database.execute(
      sql: """
        DELETE FROM drill WHERE machine = ? AND ended IS NOT NULL AND id NOT IN
        (SELECT id FROM drill WHERE machine = ? ORDER BY id DESC LIMIT \(drillLimit))
        """, arguments: [machine, machine])
    return drill
  }

  /// Changes a drill, whatever another thread changes of it meanwhile; nothing if there is none.
  @discardableResult
  public func changeDrill(
    _ id: Int64, _ body: @Sendable (inout DrillRecord) -> Void
  ) throws(CatalogError) -> DrillRecord? {
    try write { database in
      guard var drill = try Self.first(DrillRecord.self, where: "id = ?", [id], database)
      else { return nil }
      body(&drill)
      try Stored(drill).update(database)
      return drill
    }
  }

  /// The drill of that number.
  public func drill(_ id: Int64) throws(CatalogError) -> DrillRecord? {
    try first(DrillRecord.self, where: "id = ?", [id])
  }

  /// The drills that have not ended, the oldest first.
  public func unendedDrills() throws(CatalogError) -> [DrillRecord] {
    try all(DrillRecord.self, where: "ended IS NULL", by: "id")
  }

  /// The newest `limit` drills, of one machine or of all, the newest first.
  public func drills(
    of machine: Identifier? = nil, limit: Int
  ) throws(CatalogError) -> [DrillRecord] {
    guard let machine else {
      return try all(DrillRecord.self, by: "id DESC", limit: limit)
    }
    return try all(
      DrillRecord.self, where: "machine = ?", by: "id DESC", limit: limit, [machine.description])
  }

  /// The newest drill of a machine that succeeded.
  public func lastSuccessfulDrill(
    of machine: Identifier
  ) throws(CatalogError) -> DrillRecord? {
    try all(
      DrillRecord.self, where: "machine = ? AND outcome = 'succeeded'", by: "id DESC", limit: 1,
      [machine.description]
    ).first
  }

  /// Forgets the drills of a machine that is no more.
  public func removeDrills(of machine: Identifier) throws(CatalogError) {
    try change("DELETE FROM drill WHERE machine = ?", [machine.description])
  }
}
