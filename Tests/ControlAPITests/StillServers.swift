import Bytes
import FileIO
import Operations

/// Serves files of a MiB in the place of disks, for tests of what is asked and answered.
struct StillServers: RecoveryDiskServers {
  let directory: String
  var isBroken = false

  func serve(_ branch: Identifier) throws(OperationError) -> ServedBranch {
    guard !isBroken else { throw OperationError(.failed, "No disk is served in this test.") }
    return served(branch)
  }

  func served(_ branch: Identifier) -> ServedBranch {
    let place = directory + "/\(branch)"
    try? FileSystem.system.makeDirectory(place, permissions: 0o700)
    try? File(place + "/disk0.raw", .creating(permissions: 0o600)).truncate(to: 1 << 20)
    return ServedBranch(directory: place, numbers: [0])
  }

  func served(_ branch: Identifier) throws(OperationError) -> ServedBranch? {
    let found: ServedBranch = served(branch)
    return found
  }

  func serveFrozen(_ branch: Identifier) throws(OperationError) -> ServedBranch {
    try serve(branch)
  }

  func freeze(_ branch: Identifier, within seconds: Double) {}

  func thaw(_ branch: Identifier) {}

  func flatten(_ branch: Identifier) {}

  func cancelFlatten(_ branch: Identifier) {}

  func copy(of branch: Identifier) -> BranchCopy? { .idle }

  func end(_ branch: Identifier) {}
}
