internal import Bytes
public import FileIO
internal import ImageFormats
public import Vault

/// Why a cycle made no recovery point. Earlier points are as they were.
public struct CaptureError: Error, Sendable, CustomStringConvertible {
  /// The kinds of failure a caller can tell apart.
  public enum Code: String, Sendable, CaseIterable {
    /// The source is not there.
    case sourceMissing
    /// The source is there, but can't be read, or is not what it should be.
    case sourceUnreadable
    /// The source changed while it was read.
    case sourceChanged
    /// The source has another size than at the last recovery point.
    case sizeChanged
    /// The source was put back to an older content.
    case reverted
    /// More of the source changed than was allowed.
    case rewritten
    /// The source's size is none a disk can have.
    case sizeInvalid
    /// The source can't be cloned where it lies.
    case notClonable
    /// The file system of the source has too little room for clones.
    case cloneSpace
    /// The work was stopped on request; the next cycle goes on from there.
    case cancelled
    /// The vault failed; `vaultError` says how.
    case vault
    /// The session with the service ended; the next cycle goes on from what was stored.
    case session
  }

  /// What kind of failure it was.
  public let code: Code
  /// What failed, on what, why, and what to do next.
  public let message: String
  /// The vault's own error, where that is the cause.
  public let vaultError: VaultError?
  /// The system call behind it, if there was one.
  public let cause: IOError?

  init(_ code: Code, _ message: String, cause: IOError? = nil) {
    self.code = code
    self.message = message
    self.cause = cause
    vaultError = nil
  }

  /// The session with the service ended, and why.
  public init(session message: String) { self.init(.session, message) }

  /// The source was put back to an older content, and by what that is known.
  public init(reverted message: String) { self.init(.reverted, message) }

  init(_ error: VaultError) {
    code = error.code == .cancelled ? .cancelled : .vault
    message = error.message
    cause = error.cause
    vaultError = error
  }

  /// The message.
  public var description: String { message }

  /// The source of a disk failed a system call.
  static func source(_ disk: DiskNumber, _ path: String, _ error: IOError) -> CaptureError {
    if error.isMissing {
      return CaptureError(
        .sourceMissing,
        "Disk \(disk) is gone: '\(path)' does not exist. Bring it back, or remove the machine and "
          + "add it with the disk's new path. The recovery points made so far are intact.",
        cause: error)
    }
    return CaptureError(
      .sourceUnreadable,
      "Cannot read disk \(disk): \(error.description) The recovery points made so far are intact.",
      cause: error)
  }

  /// Something other than a system call failed while the source of a disk was read.
  static func source(_ disk: DiskNumber, _ path: String, _ error: any Error) -> CaptureError {
    if let error = error as? CaptureError { return error }
    if let error = error as? IOError { return source(disk, path, error) }
    if let error = error as? ImageError { return image(disk, path, error) }
    return CaptureError(
      .sourceUnreadable,
      "Cannot read disk \(disk) from '\(path)': \(error) The recovery points made so far are intact."
    )
  }
}

extension CaptureError {
  private static func image(
    _ disk: DiskNumber, _ path: String, _ error: ImageError
  ) -> CaptureError {
    switch error.code {
    case .io:
      if let cause = error.cause as? IOError { return source(disk, path, cause) }
      return CaptureError(.sourceUnreadable, "Disk \(disk): \(error.message)")
    case .invalidSize, .tooLarge:
      return CaptureError(.sizeInvalid, "Disk \(disk): \(error.message)")
    default: return CaptureError(.sourceUnreadable, "Disk \(disk): \(error.message)")
    }
  }
}

/// Runs `body` and turns the vault's error into one of the cycle.
func inVault<Result: ~Copyable>(
  _ body: () throws(VaultError) -> Result
) throws(CaptureError) -> Result {
  do { return try body() } catch { throw CaptureError(error) }
}
