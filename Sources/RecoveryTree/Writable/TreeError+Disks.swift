internal import FileIO
internal import Glibc
internal import Vault

// How a mount of writable disks fails.
extension TreeError {
  static let isDirectory = TreeError(code: EISDIR, message: "The directory is not a disk.")

  static let tooManyOpen = TreeError(code: ENFILE, message: "Too many disks are open.")

  static let notOpen = TreeError(
    code: EBADF, message: "The kernel named a file that is not open.")

  static let notWritable = TreeError(
    code: EBADF, message: "The file is not open for writing.")

  static let frozen = TreeError(
    code: EROFS, message: "The disks are frozen: they can be written to once they are thawed.")

  static func overlapped(_ file: DiskFile, by other: DiskFile) -> TreeError {
    TreeError(
      code: EBUSY,
      message: "'\(file.name)' can't be written to while '\(other.name)' is open for writing.")
  }

  static let behindEnd = TreeError(code: ENOSPC, message: "The disk ends there.")

  /// Why a write failed: a disk that is full or has used its budget up says ENOSPC, one that can only be
  /// read EROFS; all else is EIO, so that the writer does not go on as if nothing had happened.
  static func writing(_ error: any Error) -> TreeError {
    switch error {
    case let error as VaultError where error.code == .full || error.code == .overBudget:
      TreeError(code: ENOSPC, message: error.message)
    case let error as VaultError where error.code == .readOnly:
      TreeError(code: EROFS, message: error.message)
    case let error as VaultError where error.cause?.isFull == true:
      TreeError(code: ENOSPC, message: error.message)
    case let error as IOError where error.isFull:
      TreeError(code: ENOSPC, message: error.description)
    default: TreeError(code: EIO, message: wrapping(error).message)
    }
  }
}
