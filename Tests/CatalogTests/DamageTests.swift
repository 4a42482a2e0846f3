import Bytes
import Catalog
import FileIO
import Support
import Testing

/// Goal: a catalog that can't be used is an error that says what to do, never a crash, and is left as
/// it is. Method: real files, damaged in every way that matters.
@Suite struct DamageTests {
  /// The bytes of a catalog that holds something.
  static func sample() throws -> [UInt8] {
    let directory = try TemporaryDirectory("catalog")
    let catalog = try Catalog(in: directory.path)
    for number in 0..<200 {
      try catalog.addEvent(
        .warning, "sample", "event number \(number)", now: Timestamp(seconds: Int64(number)))
    }
    try catalog.close()
    return try FileSystem.system.readFile(catalog.path, limit: 1 << 24)
  }

  /// A directory with a catalog of these bytes.
  static func place(_ bytes: [UInt8]) throws -> TemporaryDirectory {
    let directory = try TemporaryDirectory("catalog")
    try FileSystem.system.replaceFile(
      directory.file(Catalog.fileName), with: bytes, permissions: 0o600)
    return directory
  }

  @Test("what is no database, or another program's, is refused and left as it is")
  func strangers() throws {
    let bytes = [UInt8](repeating: 0x2A, count: 8192)
    let directory = try Self.place(bytes)
    let failure = #expect(throws: CatalogError.self) { try Catalog(in: directory.path) }
    #expect(failure?.code == .damaged)
    #expect(failure?.message.contains("Move it away") == true)
    #expect(
      try FileSystem.system.readFile(directory.file(Catalog.fileName), limit: 1 << 20) == bytes)
  }

  @Test("a file that was cut short is refused, and an empty one is a new catalog")
  func truncated() throws {
    let bytes = try Self.sample()
    let directory = try Self.place(Array(bytes.prefix(bytes.count / 2 / 4096 * 4096)))
    let failure = #expect(throws: CatalogError.self) { try Catalog(in: directory.path) }
    #expect(failure?.code == .damaged)
    let empty = try Self.place([])
    let catalog = try Catalog(in: empty.path)
    #expect(try catalog.jobs(limit: 1).isEmpty)
    try catalog.close()
  }

  @Test("a catalog of a newer version is refused")
  func newer() throws {
    let directory = try Self.place(try Self.sample())
    try Program.require(
      "python3", "-c",
      """
      import sqlite3, sys
      with sqlite3.connect(sys.argv[1]) as database:
        database.execute("INSERT INTO grdb_migrations VALUES ('999')")
      """, directory.file(Catalog.fileName))
    let failure = #expect(throws: CatalogError.self) { try Catalog(in: directory.path) }
    #expect(failure?.code == .newerVersion)
    #expect(failure?.message.contains("newer") == true)
  }

  @Test("flipped bytes are an error or change nothing that matters; nothing traps")
  func flips() throws {
    var random = SeededGenerator(for: "catalog flips")
    let bytes = try Self.sample()
    for _ in 0..<60 {
      var damaged = bytes
      for _ in 0..<Int.random(in: 1...40, using: &random) {
        damaged[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(
          in: 0...255, using: &random)
      }
      let directory = try Self.place(damaged)
      do throws(CatalogError) {
        let catalog = try Catalog(in: directory.path)
        _ = try catalog.events(limit: 1000)
        try catalog.addEvent(.info, "after", "still works", now: Timestamp(seconds: 0))
        _ = try catalog.jobs(limit: 10)
        try catalog.close()
      } catch { #expect(!error.message.isEmpty) }
    }
  }

  @Test("two users of one catalog are one too many")
  func second() throws {
    let directory = try TemporaryDirectory("catalog")
    let first = try Catalog(in: directory.path)
    try first.addEvent(.info, "test", "held", now: Timestamp(seconds: 0))
    let failure = #expect(throws: CatalogError.self) { try Catalog(in: directory.path) }
    #expect(failure?.code == .locked)
    try first.close()
  }
}
