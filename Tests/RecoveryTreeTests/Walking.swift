internal import Bytes
internal import Glibc
internal import Support
internal import Vault

@testable import RecoveryTree

/// A tree over a small vault, walked by path as the kernel would.
struct Walker {
  let fixture: VaultFixture
  let tree: RecoveryTree

  /// Opens the vault; the tree takes `now` for the present time.
  init(_ fixture: VaultFixture, now: Timestamp = VaultFixture.start) throws {
    self.fixture = fixture
    tree = RecoveryTree(vault: try Vault(opening: fixture.vault.path), clock: { now })
  }

  /// A vault with partitions and as many points, and its tree; prints the seed.
  static func partitioned(points: Int = 3, now: Timestamp = VaultFixture.start) throws -> Walker {
    var generator = SeededGenerator(for: "content of the disks")
    return try Walker(
      VaultFixture.partitioned("tree", points: points, &generator), now: now)
  }

  /// Looks up every component of a path below the machine; the look-ups stay counted.
  func entry(_ path: String) throws(TreeError) -> TreeEntry {
    var entry = try tree.lookup(VaultFixture.machine, in: .root)
    for name in path.split(separator: "/") {
      entry = try tree.lookup(String(name), in: entry.attributes.inode)
    }
    return entry
  }

  func inode(_ path: String) throws(TreeError) -> InodeNumber { try entry(path).attributes.inode }

  func file(_ path: String) throws(TreeError) -> TreeFile { try tree.openFile(try inode(path)) }

  func content(_ path: String) throws(TreeError) -> [UInt8] { try file(path).content() }

  /// The names in a directory, without the dots.
  func names(_ path: String) throws(TreeError) -> [String] {
    let directory = try tree.openDirectory(try inode(path))
    return try directory.entries(from: 0).filter { !$0.isDot }.map(\.name)
  }

  /// The errno a look-up ends with; 0 if it succeeds.
  func code(of path: String) -> Int32 {
    do throws(TreeError) {
      _ = try entry(path)
      return 0
    } catch { return error.code }
  }

  /// The id of a point.
  func id(_ number: Int) -> String { fixture.history[number].point.id }
}

extension TreeFile {
  /// All bytes of the file, read in odd pieces.
  func content(piece: Int = 100_003) throws(TreeError) -> [UInt8] {
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0xEE, count: piece)
    while true {
      let count = try read(at: UInt64(bytes.count), into: &buffer)
      guard count > 0 else { return bytes }
      bytes += buffer[..<count]
    }
  }

  /// Reads as much as the buffer takes.
  func read(at offset: UInt64, into buffer: inout [UInt8]) throws(TreeError) -> Int {
    // withUnsafeMutableBytes would lose the error's type.
    let result = buffer.withUnsafeMutableBytes { bytes in
      Result { () throws(TreeError) in try read(into: bytes, at: offset) }
    }
    return try result.get()
  }
}
