import Bytes
import FileIO
import Support
import Testing
import Vault

@testable import Agent

/// Goal: digests of what the vault holds are believed only if they are what was written. Method: the file
/// cut off, zeroed, changed, and of another disk.
@Suite struct DigestFileTests {
  private static let number = SequenceNumber(rawValue: 77)

  /// A disk of 64 GiB with few blocks that are not zeros, so that the file has many pieces and holes.
  private static let size: UInt64 = 64 << 30

  private static func open(_ place: DigestDirectory) throws -> DigestFile {
    try place.open(0, size: size)
  }

  private static func made(_ directory: TemporaryDirectory) throws -> DigestDirectory {
    let place = DigestDirectory(
      path: directory.file("digests"), vault: .random(), machine: .random())
    let file = try open(place)
    try file.forget()
    for block: UInt64 in [0, 17, 300_000, (size >> 16) - 1] {
      try file.write([DigestFile.Entry(high: block + 1, low: 5)], at: block)
    }
    try file.settle(at: number)
    return place
  }

  @Test("digests are read back, also after more of them were written and made durable")
  func kept() throws {
    let directory = try TemporaryDirectory("digests")
    let place = try Self.made(directory)
    let file = try Self.open(place)
    #expect(file.isOf(Self.number) && !file.isOf(.zero))
    let entry = DigestFile.Entry(high: 9, low: 9)
    try file.write([entry], at: 400_000)
    // Until they are durable they count for nothing.
    #expect(try !Self.open(place).isOf(Self.number))
    try file.settle(at: Self.number.next)
    let next = try Self.open(place)
    #expect(next.isOf(Self.number.next))
    #expect(try next.read(400_000..<400_001) == [entry])
    #expect(try next.read(17..<18) == [DigestFile.Entry(high: 18, low: 5)])
  }

  @Test("a file that is not whole counts for nothing", arguments: 0..<6)
  func damaged(_ kind: Int) throws {
    let directory = try TemporaryDirectory("digests")
    let place = try Self.made(directory)
    let path = place.path + "/disk0.digests"
    let file = try File(path, .writing)
    let end = try file.status().size
    func entry(_ block: UInt64) -> UInt64 { 4096 + block * 16 }
    switch kind {
    case 0: try file.truncate(to: entry(300_000))
    case 1: try file.truncate(to: end + 4096)
    case 2: try file.punchHole(at: entry(299_968), count: 4096)
    case 3: try file.write([1], at: entry(17) + 3)
    case 4:
      // Moved to another place.
      let bytes = try file.read(at: entry(300_000), count: 16)
      try file.write([UInt8](repeating: 0, count: 16), at: entry(300_000))
      try file.write(bytes, at: entry(500_000))
    default: try file.write([UInt8](repeating: 0, count: 16), at: end - 16)
    }
    #expect(try !Self.open(place).isOf(Self.number))
  }
}
