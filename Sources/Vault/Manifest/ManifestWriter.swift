internal import Bytes
internal import FileIO

/// Appends transactions to a MANIFEST. Needs the vault's lock; one thread.
final class ManifestWriter {
  private(set) var manifest: Manifest
  private let file: File
  private let identity: LogIdentity
  /// After a failed fdatasync the file's state is unknown, and nothing more is appended.
  private(set) var isBroken = false

  /// Makes the MANIFEST of a new machine, durable when this returns.
  static func create(
    _ path: String, entries: [ManifestEntry], generation: UInt64 = 1, identity: LogIdentity,
    permissions: UInt32, on system: FileSystem
  ) throws(VaultError) {
    let bytes = image(of: entries, generation: generation, identity: identity)
    try translated { () throws(IOError) in
      try system.replaceFile(path, with: bytes, permissions: permissions)
    }
  }

  private static func image(
    of entries: [ManifestEntry], generation: UInt64, identity: LogIdentity
  ) -> [UInt8] {
    var bytes = Manifest.header(identity)
    append(entries, generation: generation, identity: identity, offset: 0, to: &bytes)
    return bytes
  }

  private static func append(
    _ entries: [ManifestEntry], generation: UInt64, identity: LogIdentity, offset: UInt64,
    to bytes: inout [UInt8]
  ) {
    for (index, entry) in entries.enumerated() {
      let flags = index == entries.count - 1 ? Manifest.endsTransaction : 0
      bytes += Manifest.encode(
        entry, flags: flags, generation: generation, at: offset + UInt64(bytes.count),
        identity: identity)
    }
  }

  /// Opens a MANIFEST for appending.
  ///
  /// What counts is first written anew, flipped bits put right, and renamed over the old file: a writer
  /// before this one may have died of a failed fdatasync, after which what the cache shows need not be
  /// on disk.
  init(_ path: String, identity: LogIdentity, on system: FileSystem) throws(VaultError) {
    self.identity = identity
    var bytes = try translated { () throws(IOError) in
      try system.readFile(path, limit: Format.manifestSizeLimit)
    }
    manifest = try Manifest.parse(&bytes, path: path, identity: identity)
    bytes.removeLast(Int(manifest.tail))
    let opened: File
    do throws(IOError) {
      let status = try system.status(path)
      try system.replaceFile(path, with: bytes, permissions: status.permissions)
      // Where the group can't be kept, the owner still reads the vault.
      try? system.setGroup(path, status.group)
      opened = try File(path, .writing, on: system)
    } catch {
      throw VaultError(error)
    }
    file = opened
    (self.manifest.tail, self.manifest.repaired) = (0, [])
  }

  /// Appends one transaction. Durable when this returns.
  ///
  /// - Throws: after a failure nothing of the transaction counts. Where there was no room for it the file is
  ///   as it was; else the writer can't be used any more, and the next one starts from what is on disk.
  func append(_ entries: [ManifestEntry]) throws(VaultError) {
    guard !isBroken else {
      throw VaultError(.io, "'\(file.path)' could not be written before. Start again.")
    }
    var bytes: [UInt8] = []
    let generation = manifest.state.generation + 1
    // Before it is in the file: what contradicts itself there can't be read by anyone any more.
    var state = manifest.state
    for entry in entries where !state.apply(entry) {
      throw VaultError(
        .invalid, "'\(file.path)' was not changed: entry \(entry) contradicts what it says.")
    }
    Self.append(
      entries, generation: generation, identity: identity, offset: manifest.length, to: &bytes)
    isBroken = true
    do throws(IOError) {
      try write(bytes)
      try file.sync()
    } catch {
      throw VaultError(error)
    }
    isBroken = false
    manifest.state = state
    manifest.state.generation = generation
    manifest.length += UInt64(bytes.count)
    manifest.checksum = bytes.withUnsafeBytes { Checksum.of($0, seed: manifest.checksum) }
  }

  /// Writes a transaction behind the others. What there was too little room for is cut off again; durable, so
  /// that no part of it comes back behind a part of the next one.
  private func write(_ bytes: [UInt8]) throws(IOError) {
    do throws(IOError) { try file.write(bytes, at: manifest.length) } catch {
      guard error.isFull else { throw error }
      try file.truncate(to: manifest.length)
      try file.sync()
      isBroken = false
      throw error
    }
  }
}
