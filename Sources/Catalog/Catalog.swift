/// What a vault's service remembers beside the logs: keys, certificates, agents, tokens, jobs,
/// events, health and settings, in `catalog.sqlite`.
///
/// Nothing that a recovery point is made of lies here: without the file every byte of every point
/// reads the same, and a new, empty one takes its place. What is lost with it is who may speak to the
/// service, and what happened.
internal import Bytes
internal import FileIO
internal import GRDB
internal import Synchronization

/// The database of a vault, for the one process that holds the vault's lock.
///
/// Every change is durable when its call returns (write-ahead log, `synchronous = FULL`). All calls
/// block, on the disk and on each other: never make them on an event loop. Safe from any thread.
public final class Catalog: Sendable {
  /// The file's name in a vault's directory.
  public static let fileName = "catalog.sqlite"
  /// Where the file is.
  public let path: String
  /// Nil once closed: SQLite is not asked for anything then, and one call at a time is all that it
  /// does anyway.
  private let connection: Mutex<DatabaseQueue?>

  /// Opens the catalog of a vault's directory, and makes it if there is none.
  ///
  /// - Throws: `.damaged` or `.newerVersion`, and then the file is left as it is; `.locked` if another
  ///   process has it open; `.full`, `.readOnly`, `.io`.
  public init(in directory: String) throws(CatalogError) {
    let path = directory + "/" + Self.fileName
    self.path = path
    do {
      try Self.makeFile(path)
      let queue = try DatabaseQueue(path: path, configuration: Self.configuration)
      try Schema.prepare(queue, path)
      connection = Mutex(queue)
    } catch { throw CatalogError(error, path) }
  }

  /// SQLite gives the files beside this one the permissions that this one has.
  private static func makeFile(_ path: String) throws(IOError) {
    guard !FileSystem.system.exists(path) else { return }
    let file = try File(path, .creating(permissions: 0o600))
    try file.sync()
    try FileSystem.system.syncDirectory(FileSystem.parent(of: path))
  }

  /// One connection has the file to itself, so SQLite needs no shared memory beside it, and works
  /// where a file can't be mapped. EXTRA makes the way into the write-ahead log survive a power
  /// loss whose directory forgets the removal of a journal; within the log FULL is as much.
  private static var configuration: Configuration {
    var configuration = Configuration()
    configuration.label = "tidemark.catalog"
    configuration.busyMode = .timeout(1)
    configuration.prepareDatabase { database in
      try database.execute(sql: "PRAGMA locking_mode = EXCLUSIVE")
      try database.execute(sql: "PRAGMA synchronous = EXTRA")
      try database.execute(sql: "PRAGMA journal_mode = WAL")
      try database.execute(sql: "PRAGMA synchronous = FULL")
    }
    return configuration
  }

  /// Ends the use of the file; later calls fail. Blocks until other calls are done.
  public func close() throws(CatalogError) {
    do {
      try connection.withLock { queue in
        try queue?.close()
        queue = nil
      }
    } catch { throw CatalogError(error, path) }
  }

  func read<Value: Sendable>(_ body: (Database) throws -> Value) throws(CatalogError) -> Value {
    do { return try connection.withLock { try opened($0).read(body) } } catch {
      throw CatalogError(error, path)
    }
  }

  /// Runs `body` in a transaction; durable when it returns, undone if it throws.
  func write<Value: Sendable>(_ body: (Database) throws -> Value) throws(CatalogError) -> Value {
    do { return try connection.withLock { try opened($0).write(body) } } catch {
      throw CatalogError(error, path)
    }
  }

  private func opened(_ queue: DatabaseQueue?) throws(CatalogError) -> DatabaseQueue {
    guard let queue else {
      throw CatalogError(.io, "The catalog '\(path)' is closed, for its service is ending.")
    }
    return queue
  }
}
