internal import Bytes
internal import FileIO
internal import Replication
internal import Vault

/// Why a relay's cache can't take or give back a group.
struct CacheError: Error, CustomStringConvertible {
  enum Code { case io, full, damaged, over }

  let code: Code
  let message: String
  var description: String { message }

  init(_ code: Code, _ message: String) { (self.code, self.message) = (code, message) }

  init(_ error: IOError) { self.init(error.isFull ? .full : .io, error.description) }

  /// Why a file can't be read: what is not there, or on a bad sector, is lost; anything else may pass.
  init(reading error: IOError) {
    self.init(error.isMissing || error.isOfMedium ? .damaged : .io, error.description)
  }
}

/// Whose groups a file of a relay's cache holds.
struct CachedSession: Hashable, Sendable {
  var vault: Identifier
  var machine: Identifier
  /// The session that the groups were signed for.
  var session: Identifier
  /// The agent's certificate in DER.
  var certificate: [UInt8]
}

/// A group that lies in a relay's cache.
struct CachedGroup: Hashable, Sendable {
  /// The number it ends with.
  var last: SequenceNumber
  /// What it takes of a window.
  var cost: Int
  /// The number of the file.
  var file: Int
  /// Where its entry begins.
  var offset: UInt64
  /// Bytes of its payload.
  var length: Int
}

/// One file of a relay's cache: groups of one session, in the order they came.
///
/// Little-endian. A head: "tmrelay1", vault, machine and session (16 bytes each), `u32` length of the
/// agent's certificate, the certificate, and the CRC32C of all that. Then entries: `u32` length of the
/// payload, `u64` number the group ends with, `u32` what it takes of a window, the CRC32C of these, the
/// entry's place in the file and the payload, seeded with the head's; then the payload, which is that of
/// a group's frame. Numbers rise from entry to entry. What comes behind the last entry for which all
/// this holds is of no account: it was never acknowledged, or is left over from groups that were stored.
enum GroupFile {
  private static let magic: UInt64 = 0x3179_616C_6572_6D74
  static let entryHead = 20

  static func encode(_ session: CachedSession) -> [UInt8] {
    var writer = ByteWriter(capacity: 1024)
    writer.integer(magic)
    for id in [session.vault, session.machine, session.session] { writer.identifier(id) }
    writer.integer(UInt32(session.certificate.count))
    writer.append(contentsOf: session.certificate)
    writer.integer(checksum(writer.bytes))
    return writer.bytes
  }

  static func head(
    _ last: SequenceNumber, _ cost: Int, _ payload: [UInt8], at offset: UInt64,
    seed: UInt32
  ) -> [UInt8] {
    var writer = ByteWriter(capacity: entryHead)
    writer.integer(UInt32(payload.count))
    writer.integer(last.rawValue)
    writer.integer(UInt32(truncatingIfNeeded: cost))
    writer.integer(checksum(writer.bytes, at: offset, payload, seed: seed))
    return writer.bytes
  }

  /// The CRC32C of a file's head, which its entries are seeded with.
  static func seed(of head: [UInt8]) -> UInt32 { checksum(Array(head.dropLast(4))) }

  private static func checksum(_ bytes: [UInt8]) -> UInt32 {
    bytes.withUnsafeBytes { Checksum.of($0) }
  }

  private static func checksum(
    _ head: [UInt8], at offset: UInt64, _ payload: [UInt8], seed: UInt32
  ) -> UInt32 {
    var sum = Checksum(seed: seed)
    head.withUnsafeBytes { sum.add($0) }
    sum.add(offset)
    payload.withUnsafeBytes { sum.add($0) }
    return sum.value
  }

  /// What a file holds; nil if its head is not whole.
  static func scan(
    _ path: String, number: Int, on system: FileSystem
  ) throws(CacheError) -> (session: CachedSession, groups: [CachedGroup])? {
    do throws(IOError) {
      let file = try File(path, .reading, on: system)
      guard let (session, size) = try readHead(file) else { return nil }
      let seed = seed(of: encode(session))
      var groups: [CachedGroup] = []
      var offset = UInt64(size)
      while let group = try readEntry(file, at: offset, number, seed: seed),
        group.entry.last > groups.last?.last ?? .zero
      {
        groups.append(group.entry)
        offset += UInt64(entryHead + group.entry.length)
      }
      return (session, groups)
    } catch { throw CacheError(reading: error) }
  }

  private static func readHead(
    _ file: borrowing File
  ) throws(IOError) -> (session: CachedSession, size: Int)? {
    let bytes = try file.read(at: 0, count: 60 + RelayHello.certificateBytes + 4)
    let found = bytes.withUnsafeBytes { raw -> CachedSession? in
      var reader = ByteReader(raw)
      guard (try? reader.integer(UInt64.self)) == magic, let vault = try? reader.identifier(),
        let machine = try? reader.identifier(), let session = try? reader.identifier(),
        let count = try? reader.integer(UInt32.self), count <= RelayHello.certificateBytes,
        let certificate = try? reader.bytes(Int(count))
      else { return nil }
      return CachedSession(
        vault: vault, machine: machine, session: session, certificate: Array(certificate))
    }
    guard let found else { return nil }
    let expected = encode(found)
    guard bytes.starts(with: expected) else { return nil }
    return (found, expected.count)
  }

  /// The entry at a place, with its payload; nil if there is none that is whole.
  static func readEntry(
    _ file: borrowing File, at offset: UInt64, _ number: Int, seed: UInt32
  ) throws(IOError) -> (entry: CachedGroup, payload: [UInt8])? {
    let head = try file.read(at: offset, count: entryHead)
    guard head.count == entryHead else { return nil }
    let fields = head.withUnsafeBytes { raw -> (UInt32, UInt64, UInt32, UInt32)? in
      var reader = ByteReader(raw)
      guard let length = try? reader.integer(UInt32.self),
        let last = try? reader.integer(UInt64.self), let cost = try? reader.integer(UInt32.self),
        let sum = try? reader.integer(UInt32.self)
      else { return nil }
      return (length, last, cost, sum)
    }
    guard let (length, last, cost, sum) = fields, length <= Frame.largestPayload,
      cost <= Frame.largestPayload
    else { return nil }
    let payload = try file.read(at: offset + UInt64(entryHead), count: Int(length))
    guard payload.count == length,
      checksum(Array(head.prefix(16)), at: offset, payload, seed: seed) == sum
    else { return nil }
    let entry = CachedGroup(
      last: SequenceNumber(rawValue: last), cost: Int(cost), file: number, offset: offset,
      length: Int(length))
    return (entry, payload)
  }
}
