internal import FileIO

/// The right to write to a vault: one process at a time has it.
///
/// It is a flock(2) on the file `lock`, given back when the value goes or the process ends.
public final class VaultLock: Sendable {
  static let fileName = "lock"

  /// The vault's directory.
  let path: String
  private let file: LogFile

  init(_ path: String, on system: FileSystem) throws(VaultError) {
    self.path = path
    do throws(IOError) {
      let file = LogFile(try File(path + "/" + Self.fileName, .writing, on: system))
      try file.file.lockExclusively(patience: 300)
      self.file = file
    } catch {
      guard error.isLocked else { throw VaultError(error) }
      throw VaultError(
        .locked,
        "Another process is writing to the vault '\(path)'. Wait for it to end; "
          + "'fuser \(path)/\(Self.fileName)' names it.", cause: error)
    }
  }
}

extension Vault {
  /// Takes the right to write; waits for no more than a third of a second.
  ///
  /// - Throws: `.locked` if another process has it.
  public func lock() throws(VaultError) -> VaultLock { try VaultLock(path, on: system) }
}
