internal import Bytes
internal import FileIO
internal import Replication
internal import Synchronization
internal import Vault

/// Where an agent keeps the digests of its disks' blocks, one file a disk.
struct DigestDirectory: Sendable {
  let path: String
  let vault: Identifier
  let machine: Identifier
  var system = FileSystem.system

  /// The digests of a disk of that size; forgotten if they were of another.
  func open(_ disk: DiskNumber, size: UInt64) throws(AgentError) -> DigestFile {
    try inFile { () throws(IOError) in
      if !system.exists(path) { try system.makeDirectory(path) }
      let identity = DigestFile.Identity(vault: vault, machine: machine, disk: disk, size: size)
      return try DigestFile("\(path)/disk\(disk).digests", identity, on: system)
    }
  }
}

extension DigestDirectory {
  /// What pages of a disk held before; `salt` is that of its digests where there are any.
  func former(_ disk: DiskNumber, salt: [UInt8]? = nil) throws(AgentError) -> FormerPages {
    try inFile { () throws(IOError) in
      if !system.exists(path) { try system.makeDirectory(path) }
    }
    return FormerPages("\(path)/disk\(disk).former", disk: disk, salt: salt, on: system)
  }
}

/// Runs `body` and turns the failure of a system call into one of the agent.
func inFile<Result>(_ body: () throws(IOError) -> Result) throws(AgentError) -> Result {
  do { return try body() } catch { throw AgentError(.state, error.description) }
}

/// The digests of a disk's blocks, as of one number of the machine's log.
///
/// Protocol: entries are written in place while a cycle runs, but before the first of them the header is
/// taken away, durably; `settle` makes them durable before the header names the number they are of, and
/// then the header. Digests without a header count for nothing, so whatever breaks a cycle off, also
/// before any of it was stored, a block is never taken for unchanged that is not. Nor do entries count
/// that are not those the header was written for: zeros in their place would say that the vault holds zeros.
///
/// Layout: a header of 4096 bytes (magic, format, vault, machine, disk, size, salt, number, checksum of the
/// entries, checksum of the header), then 16 bytes a block: zeros for a block of zeros, so that the file is
/// as sparse as the disk; ones for a block that nothing is known of.
final class DigestFile: Sendable {
  /// Whose digests they are.
  struct Identity: Sendable {
    let vault: Identifier
    let machine: Identifier
    let disk: DiskNumber
    let size: UInt64

    fileprivate var blocks: UInt64 {
      (size + UInt64(Layout.blockSize) - 1) / UInt64(Layout.blockSize)
    }
  }

  /// What is known of one block.
  struct Entry: Hashable, Sendable {
    let high: UInt64
    let low: UInt64
    static let zeros = Entry(high: 0, low: 0)
    static let unknown = Entry(high: .max, low: .max)
    static let size = 16
  }

  private static let magic: UInt32 = 0x4744_4D54
  private static let headerSize = 4096
  private static let chunk: UInt64 = 4096
  /// Bytes of entries that are read at a time for their checksum.
  private static let piece: UInt64 = 1 << 18

  private let file: File
  private let identity: Identity
  /// What the digests are salted with: random, and known to nobody but agent and service.
  let salt: [UInt8]
  private let number: SequenceNumber?
  /// The digest of a block of zeros.
  private let zeros: ContentDigest
  /// Whether the header on the disk may name a number.
  private let hasHeader: Atomic<Bool>

  init(_ path: String, _ identity: Identity, on system: FileSystem) throws(IOError) {
    self.identity = identity
    let found = system.exists(path)
    file = try File(path, found ? .writing : .creating(permissions: 0o600), on: system)
    // What can't be read counts for nothing, and is written anew.
    let header = found ? (try? Self.checkedHeader(file, identity)) ?? nil : nil
    number = header?.number
    hasHeader = Atomic(header != nil)
    let salt = header?.salt ?? Self.newSalt()
    self.salt = salt
    zeros = [UInt8](repeating: 0, count: Layout.blockSize).withUnsafeBytes {
      ContentDigest(of: $0, salt: salt)
    }
  }

  private static func newSalt() -> [UInt8] {
    var generator = SystemRandomNumberGenerator()
    return (0..<ContentDigest.saltSize).map { _ in UInt8.random(in: 0...255, using: &generator) }
  }

  /// Whether the digests are those of everything up to `number` and nothing later.
  func isOf(_ number: SequenceNumber) -> Bool { self.number == number }

  /// Makes all blocks zeros.
  func forget() throws(AgentError) {
    try inFile { () throws(IOError) in
      try file.truncate(to: 0)
      try file.truncate(to: UInt64(Self.headerSize) + blocks * UInt64(Entry.size))
      try file.sync()
    }
    hasHeader.store(false, ordering: .relaxed)
  }

  private var blocks: UInt64 { identity.blocks }

  /// The entry of a block with this digest.
  func entry(_ digest: ContentDigest) -> Entry {
    let entry = Entry(high: digest.high, low: digest.low)
    if digest == zeros { return .zeros }
    return entry == .zeros ? .unknown : entry
  }

  /// The entries of blocks; those behind the disk's end are zeros.
  func read(_ blocks: Range<UInt64>) throws(AgentError) -> [Entry] {
    let bytes = try inFile { () throws(IOError) in
      try file.read(at: offset(blocks.lowerBound), count: blocks.count * Entry.size)
    }
    return bytes.withUnsafeBytes { buffer in
      (0..<blocks.count).map { place in
        guard (place + 1) * Entry.size <= buffer.count else { return .zeros }
        return Entry(
          high: buffer.loadUnaligned(fromByteOffset: place * Entry.size, as: UInt64.self),
          low: buffer.loadUnaligned(fromByteOffset: place * Entry.size + 8, as: UInt64.self))
      }
    }
  }

  /// Overwrites the entries of blocks that follow each other; those behind the disk's end are left out.
  func write(_ entries: [Entry], at block: UInt64) throws(AgentError) {
    guard block < blocks else { return }
    try removeHeader()
    var writer = ByteWriter(capacity: entries.count * Entry.size)
    for entry in entries.prefix(Int(min(UInt64(entries.count), blocks - block))) {
      writer.integer(entry.high)
      writer.integer(entry.low)
    }
    try inFile { () throws(IOError) in try file.write(writer.bytes, at: offset(block)) }
  }

  private func removeHeader() throws(AgentError) {
    guard hasHeader.load(ordering: .relaxed) else { return }
    try inFile { () throws(IOError) in
      try file.write([UInt8](repeating: 0, count: 8), at: 0)
      try file.sync()
    }
    hasHeader.store(false, ordering: .relaxed)
  }

  /// Overwrites what differs from `entry`.
  func fill(_ range: Range<UInt64>, with entry: Entry) throws(AgentError) {
    var position = range.lowerBound
    while let next = try firstOther(than: entry, in: position..<min(range.upperBound, blocks)) {
      let end = min(range.upperBound, blocks, next + Self.chunk)
      try write([Entry](repeating: entry, count: Int(end - next)), at: next)
      position = end
    }
  }

  /// The first block of a range whose entry is another one.
  func firstOther(than entry: Entry, in range: Range<UInt64>) throws(AgentError) -> UInt64? {
    var position = range.lowerBound
    while position < range.upperBound {
      let end = min(range.upperBound, position + Self.chunk)
      let found = try read(position..<end)
      if let place = found.firstIndex(where: { $0 != entry }) { return position + UInt64(place) }
      position = end
    }
    return nil
  }

  private func offset(_ block: UInt64) -> UInt64 {
    UInt64(Self.headerSize) + block * UInt64(Entry.size)
  }

  /// Makes the entries durable, and then that they are of `number`.
  func settle(at number: SequenceNumber) throws(AgentError) {
    try inFile { () throws(IOError) in
      try file.sync()
      // Without a header they count for nothing, which is right for what can't be read.
      guard let entries = try? Self.checksum(file, identity) else { return }
      try file.write(header(number, entries: entries), at: 0)
      try file.sync()
      hasHeader.store(true, ordering: .relaxed)
    }
  }

  private func header(_ number: SequenceNumber, entries: UInt32) -> [UInt8] {
    var writer = ByteWriter(capacity: 128)
    Self.encode(identity, into: &writer)
    writer.append(contentsOf: salt)
    writer.integer(number.rawValue)
    writer.integer(entries)
    writer.integer(writer.bytes.withUnsafeBytes { Checksum.of($0) })
    return writer.bytes
  }

  private static func encode(_ identity: Identity, into writer: inout ByteWriter) {
    writer.integer(magic)
    writer.integer(UInt32(2))
    writer.identifier(identity.vault)
    writer.identifier(identity.machine)
    writer.integer(UInt64(identity.disk))
    writer.integer(identity.size)
  }

  /// The checksum of all entries by their places; pieces of nothing but zeros are left out, so that it costs
  /// no more than what the disk holds.
  private static func checksum(
    _ file: borrowing File, _ identity: Identity
  ) throws(IOError) -> UInt32 {
    let end = UInt64(headerSize) + identity.blocks * UInt64(Entry.size)
    var sum = Checksum()
    var position = UInt64(headerSize)
    while position < end, let data = try file.nextData(from: position), data < end {
      let start = max(position, data / piece * piece)
      position = min(end, (start / piece + 1) * piece)
      try file.read(at: start, count: Int(position - start)).withUnsafeBytes { bytes in
        guard !bytes.isZero else { return }
        sum.add(start)
        sum.add(bytes)
      }
    }
    return sum.value
  }

  /// Salt and number of a header that is whole and of this disk, and of the entries that follow; nil for any
  /// other.
  private static func checkedHeader(
    _ file: borrowing File, _ identity: Identity
  ) throws(IOError) -> (salt: [UInt8], number: SequenceNumber)? {
    guard let (salt, number, entries) = try readHeader(file, identity),
      try entries == checksum(file, identity)
    else { return nil }
    return (salt, number)
  }

  private static func readHeader(
    _ file: borrowing File, _ identity: Identity
  ) throws(IOError) -> (salt: [UInt8], number: SequenceNumber, entries: UInt32)? {
    var expected = ByteWriter()
    encode(identity, into: &expected)
    let start = expected.bytes.count
    let size = start + ContentDigest.saltSize + 16
    let whole = UInt64(headerSize) + identity.blocks * UInt64(Entry.size)
    guard try file.status().size == whole else { return nil }
    let bytes = try file.read(at: 0, count: size)
    guard bytes.count == size, Array(bytes[..<start]) == expected.bytes else { return nil }
    return bytes.withUnsafeBytes { buffer in
      let sum = buffer.loadUnaligned(fromByteOffset: size - 4, as: UInt32.self)
      guard Checksum.of(UnsafeRawBufferPointer(rebasing: buffer[..<(size - 4)])) == sum else {
        return nil
      }
      let number = buffer.loadUnaligned(fromByteOffset: size - 16, as: UInt64.self)
      let entries = buffer.loadUnaligned(fromByteOffset: size - 8, as: UInt32.self)
      return (
        Array(bytes[start..<start + ContentDigest.saltSize]), SequenceNumber(rawValue: number),
        entries
      )
    }
  }
}
