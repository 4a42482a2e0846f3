internal import Bytes
internal import FileIO

extension Manifest {
  /// Reads a machine's MANIFEST.
  ///
  /// A torn transaction at the end is a tail; a bad entry with a later transaction behind it is damage.
  /// A single flipped bit is repaired in memory and noted.
  /// - Throws: `.damaged`, `.newerVersion`, or the failure of a system call.
  static func read(
    _ path: String, identity: LogIdentity, on system: FileSystem
  ) throws(VaultError) -> Manifest {
    var bytes = try translated { () throws(IOError) in
      try system.readFile(path, limit: Format.manifestSizeLimit)
    }
    return try parse(&bytes, path: path, identity: identity)
  }

  /// Reads the entries out of a MANIFEST's bytes, and puts single flipped bits right in them.
  static func parse(
    _ bytes: inout [UInt8], path: String, identity: LogIdentity
  ) throws(VaultError) -> Manifest {
    var manifest = Manifest()
    try manifest.checkHeader(&bytes, path, identity)
    var offset = headerSize
    var pending: [ManifestEntry] = []
    while offset < bytes.count {
      guard let found = repairedEntry(&bytes, at: offset, identity) else {
        let known = manifest.state.generation
        guard known > 0, !hasEntry(bytes, behind: offset, after: known + 1, identity) else {
          throw damage(path, offset)
        }
        break
      }
      if found.repaired { manifest.repaired.append(UInt64(offset)) }
      offset += found.length
      if let entry = try decode(found, path, offset) { pending.append(entry) }
      guard found.flags & endsTransaction != 0 else { continue }
      for entry in pending where !manifest.state.apply(entry) { throw damage(path, offset) }
      pending.removeAll(keepingCapacity: true)
      manifest.state.generation = found.generation
      manifest.length = UInt64(offset)
    }
    // The first transaction came with the file itself and can't be torn.
    guard manifest.state.generation > 0 else { throw damage(path, headerSize) }
    manifest.tail = UInt64(bytes.count) - manifest.length
    manifest.repaired.removeAll { $0 >= manifest.length }
    manifest.checksum = bytes.withUnsafeBytes {
      Checksum.of(UnsafeRawBufferPointer(rebasing: $0[..<Int(manifest.length)]))
    }
    return manifest
  }

  private mutating func checkHeader(
    _ bytes: inout [UInt8], _ path: String, _ identity: LogIdentity
  ) throws(VaultError) {
    guard bytes.count >= Self.headerSize else {
      throw VaultError(
        .damaged, "'\(path)' is cut short. Run 'tidemark vault rebuild' to make it anew.")
    }
    let expected = Self.header(identity)
    let actual = Array(bytes[..<Self.headerSize])
    guard actual != expected else { return }
    let version = actual.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: 4, as: UInt32.self) }
    let flipped = zip(actual, expected).reduce(0) { $0 + ($1.0 ^ $1.1).nonzeroBitCount }
    if flipped == 1 {
      bytes.replaceSubrange(..<Self.headerSize, with: expected)
      repaired.append(0)
      return
    }
    if version > UInt32(Format.version), actual[..<4] == expected[..<4] {
      throw VaultError(
        .newerVersion,
        "'\(path)' has format version \(version); this tidemark reads up to "
          + "\(Format.version). Use a newer tidemark.")
    }
    throw Self.damage(path, 0)
  }

  private struct Found {
    var type: UInt16
    var flags: UInt16
    var generation: UInt64
    var payload: [UInt8]
    var length: Int
    var repaired = false
  }

  /// The entry at `offset`, a single flipped bit repaired; nil if there is none.
  private static func repairedEntry(
    _ bytes: inout [UInt8], at offset: Int, _ identity: LogIdentity
  ) -> Found? {
    if let found = entry(bytes, at: offset, identity) { return found }
    // Of a long entry only the header is tried: its checksum runs over everything.
    let length = min(bytes.count - offset, 4096)
    guard length >= entryHeaderSize else { return nil }
    for bit in 0..<length * 8 {
      bytes[offset + bit / 8] ^= 1 << UInt8(bit % 8)
      if var found = entry(bytes, at: offset, identity) {
        found.repaired = true
        return found
      }
      bytes[offset + bit / 8] ^= 1 << UInt8(bit % 8)
    }
    return nil
  }

  private static func entry(_ bytes: [UInt8], at offset: Int, _ identity: LogIdentity) -> Found? {
    bytes.withUnsafeBytes { buffer in
      guard offset + entryHeaderSize <= buffer.count else { return nil }
      func get<T: FixedWidthInteger>(_ at: Int, _: T.Type = T.self) -> T {
        T(littleEndian: buffer.loadUnaligned(fromByteOffset: offset + at, as: T.self))
      }
      let length = Int(get(0, UInt32.self))
      let payload = Int(get(4, UInt32.self))
      guard get(12) == entryMagic, length % 8 == 0, payload <= Format.manifestEntryLimit,
        length == (entryHeaderSize + payload + 7) & ~7, offset + length <= buffer.count
      else { return nil }
      let whole = UnsafeRawBufferPointer(rebasing: buffer[offset..<offset + length])
      guard checksum(whole, at: UInt64(offset), identity) == get(24, UInt32.self) else {
        return nil
      }
      return Found(
        type: get(8), flags: get(10), generation: get(16),
        payload: Array(whole[entryHeaderSize..<entryHeaderSize + payload]), length: length)
    }
  }

  /// Whether a transaction later than `torn` has an intact entry: then what comes before it was
  /// durable once. Of the transaction that was being written any part may have reached the disk.
  private static func hasEntry(
    _ bytes: [UInt8], behind offset: Int, after torn: UInt64, _ identity: LogIdentity
  ) -> Bool {
    stride(from: (offset + 8) & ~7, to: bytes.count, by: 8).contains {
      entry(bytes, at: $0, identity).map { $0.generation > torn } ?? false
    }
  }

  private static func decode(
    _ found: Found, _ path: String, _ end: Int
  ) throws(VaultError) -> ManifestEntry? {
    var entry: ManifestEntry?
    var isShort = false
    found.payload.withUnsafeBytes { bytes in
      var reader = ByteReader(bytes)
      do { entry = try ManifestEntry(type: found.type, from: &reader) } catch { isShort = true }
    }
    if isShort { throw damage(path, end - found.length) }
    if entry == nil, found.flags & mayBeIgnored == 0 {
      throw VaultError(
        .newerVersion,
        "'\(path)' holds an entry of type \(found.type), which this tidemark does "
          + "not know. Use a newer tidemark.")
    }
    return entry
  }

  private static func damage(_ path: String, _ offset: Int) -> VaultError {
    VaultError(
      .damaged,
      "'\(path)' is damaged at byte \(offset). "
        + "Run 'tidemark vault rebuild' to make it anew from the segments.")
  }
}
