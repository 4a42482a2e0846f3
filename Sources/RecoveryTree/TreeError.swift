internal import FileIO
internal import Glibc
internal import ImageFormats
public import Vault

/// Why the tree could not answer: the errno(3) a caller of the mount gets, and a sentence for people.
public struct TreeError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The number, as in errno(3).
  public let code: Int32
  /// What failed, on what.
  public let message: String

  /// Describes a failure.
  public init(code: Int32, message: String) {
    self.code = code
    self.message = message
  }

  /// The errno a failure of the vault means to a caller of the mount.
  ///
  /// Names that lead nowhere are ENOENT; damage, and whatever else keeps a disk from being read, is
  /// EIO, never wrong bytes. EACCES, EMFILE, ENFILE and ENOMEM are handed on, because they tell a
  /// person what to change. An ENOENT of the vault's own files is EIO: the name asked for exists.
  public init(_ error: VaultError) {
    let code: Int32 =
      switch error.code {
      case .unknownMachine, .unknownPoint, .unknownDisk, .unknownBranch, .invalid: ENOENT
      case .locked, .inUse: EBUSY
      case .readOnly: EACCES
      case .cancelled: EINTR
      case .full, .overBudget: ENOSPC
      case .notAVault, .newerVersion, .alreadyExists, .damaged, .malformed: EIO
      case .io: Self.handedOn(error.cause?.code)
      }
    self.init(code: code, message: error.message)
  }

  /// The message.
  public var description: String { message }

  /// Whether something is wrong with the vault, and not with what was asked for.
  public var isFault: Bool { code != ENOENT && code != ENXIO && code != EISDIR && code != ENOTDIR }

  private static func handedOn(_ code: Int32?) -> Int32 {
    guard let code, [EMFILE, ENFILE, ENOMEM, EACCES].contains(code) else { return EIO }
    return code
  }
}

extension TreeError {
  static func missing(_ name: String) -> TreeError {
    TreeError(code: ENOENT, message: "There is no '\(name)'.")
  }

  static let forgotten = TreeError(
    code: ESTALE, message: "The kernel asked for an inode that it had given up.")

  static func nothingFollows(_ offset: UInt64, _ target: TreeFile.Target) -> TreeError {
    TreeError(code: ENXIO, message: "No \(target) follows byte \(offset).")
  }

  static func notADirectory(_ place: Place) -> TreeError {
    TreeError(code: ENOTDIR, message: "\(place) is not a directory.")
  }

  /// Any failure below the tree; those of the vault keep their meaning, others are EIO.
  static func wrapping(_ error: any Error) -> TreeError {
    switch error {
    case let error as TreeError: error
    case let error as VaultError: TreeError(error)
    case let error as ImageError:
      error.cause.map(wrapping) ?? TreeError(code: EIO, message: error.message)
    default: TreeError(code: EIO, message: String(describing: error))
    }
  }
}

/// Runs `body` and turns a failure of the vault into one of the tree.
func translated<Result>(_ body: () throws(VaultError) -> Result) throws(TreeError) -> Result {
  do { return try body() } catch { throw TreeError(error) }
}
