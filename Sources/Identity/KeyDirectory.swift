internal import Bytes
internal import FileIO

/// How files with keys are written and read: 0600, in a directory of 0700, each replaced whole.
enum KeyDirectory {
  /// Makes the directory, or checks it if it is there.
  static func make(_ path: String, on system: FileSystem) throws(IdentityError) {
    do throws(IOError) {
      try system.makeDirectory(path, permissions: 0o700)
      try system.syncDirectory(FileSystem.parent(of: path))
    } catch {
      guard error.isPresent else { throw IdentityError(error) }
      try check(path, on: system)
      // An earlier attempt may have been cut short between making and syncing.
      try translated { () throws(IOError) in
        try system.syncDirectory(FileSystem.parent(of: path))
      }
    }
  }

  /// Throws unless the path is a directory that nobody else can look into.
  static func check(_ path: String, on system: FileSystem) throws(IdentityError) {
    let status = try translated { () throws(IOError) in try system.status(path) }
    guard status.kind == .directory else {
      throw IdentityError(.refused, "'\(path)' is not a directory; keys lie in one of their own.")
    }
    guard status.permissions & 0o077 == 0 else {
      throw IdentityError(
        .refused,
        "Others than its owner can look into '\(path)', where keys lie. Run 'chmod 700 \(path)', "
          + "and think about whether the keys were seen.")
    }
  }

  /// Replaces a file so that after a crash the old or the new content is there, durably.
  static func replace(
    _ path: String, with text: String, on system: FileSystem
  ) throws(IdentityError) {
    let whole = text.hasSuffix("\n") ? text : text + "\n"
    try translated { () throws(IOError) in
      try system.replaceFile(path, with: Array(whole.utf8), permissions: 0o600)
    }
  }

  /// Reads a small text file.
  static func read(_ path: String, on system: FileSystem) throws(IdentityError) -> String {
    let bytes: [UInt8]
    do throws(IOError) { bytes = try system.readFile(path, limit: PEMText.limit) } catch {
      guard error.isMissing else { throw IdentityError(error) }
      throw IdentityError(.missing, "There is no '\(path)'.", cause: error)
    }
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw IdentityError(.damaged, "'\(path)' is not text. Restore it from a backup.")
    }
    return text
  }

  /// Reads a small text file that nobody but its owner may read.
  static func readSecret(_ path: String, on system: FileSystem) throws(IdentityError) -> String {
    let status: FileStatus
    do throws(IOError) { status = try system.status(path) } catch {
      guard error.isMissing else { throw IdentityError(error) }
      throw IdentityError(.missing, "There is no '\(path)'.", cause: error)
    }
    guard status.permissions & 0o077 == 0 else {
      throw IdentityError(
        .refused,
        "Others than its owner can read the private key '\(path)'. Run 'chmod 600 \(path)', and "
          + "if someone may have read it, have the certificate revoked and enrol again.")
    }
    return try read(path, on: system)
  }
}
