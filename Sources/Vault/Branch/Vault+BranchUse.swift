public import Bytes
internal import FileIO

extension Vault {
  /// Whether a process has a branch open to write to it: its disk server, whichever user's.
  ///
  /// - Throws: `.unknownBranch`, or the failure of a system call.
  public func isBranchOpen(_ id: Identifier) throws(VaultError) -> Bool {
    let description = try branch(id)
    do throws(IOError) {
      let file = try File(
        branchesPath + "/\(description.id)/" + VaultLock.fileName, .reading, on: system)
      // Whoever starts to serve it now waits as long.
      try file.lockExclusively(patience: 100)
      return false
    } catch {
      guard error.isLocked else { throw VaultError(error) }
      return true
    }
  }

  /// Makes everything durable that was answered so far, whether a disk server has the branch open or not.
  ///
  /// What a killed server left could be lost with the power, and its numbers be given to other writes: the
  /// number of a cut that is read behind this names the same bytes for ever. Writes nothing (fdatasync(2) of
  /// each file). Plain files have no such numbers, and are left to who serves them: the kernel tells but once
  /// of bytes that it could not write, and they are to hear of it who rely on those.
  /// - Throws: `.unknownBranch`, or the failure of a system call.
  public func syncBranch(_ id: Identifier) throws(VaultError) {
    let description = try branch(id)
    let directory = branchesPath + "/\(description.id)"
    let plain = description.disks.map { FlatDisk.name(of: $0.number) }
    try translated { () throws(IOError) in
      for name in try system.list(directory) where !plain.contains(name) {
        do throws(IOError) { try File(directory + "/" + name, .reading, on: system).sync() } catch {
          // It was merged into another one meanwhile, which is durable.
          guard error.isMissing else { throw error }
        }
      }
    }
  }
}
