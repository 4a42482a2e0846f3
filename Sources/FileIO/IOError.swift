internal import Glibc

/// A system call that failed: which one, on what, and the system's reason.
public struct IOError: Error, Hashable, Sendable, CustomStringConvertible {
  /// What was attempted, as a verb: `open`, `write`, `sync`.
  public let operation: String
  /// The path it was attempted on.
  public let path: String
  /// The reason, as in errno(3).
  public let code: Int32

  /// Describes a failure.
  public init(_ operation: String, _ path: String, code: Int32) {
    self.operation = operation
    self.path = path
    self.code = code
  }

  /// The reason in the system's words.
  public var reason: String { String(cString: strerror(code)) }

  /// `Cannot open '/a/b': No such file or directory.`
  public var description: String { "Cannot \(operation) '\(path)': \(reason)." }

  /// The path does not exist (ENOENT).
  public var isMissing: Bool { code == ENOENT }
  /// The disk did not give or take the bytes.
  public var isOfMedium: Bool { code == EIO }
  /// The path exists already (EEXIST).
  public var isPresent: Bool { code == EEXIST }
  /// No room, or a quota is used up (ENOSPC, EDQUOT).
  public var isFull: Bool { code == ENOSPC || code == EDQUOT }
  /// The file system or the file may only be read (EROFS, EACCES, EPERM).
  public var isRefused: Bool { code == EROFS || code == EACCES || code == EPERM }
  /// The file system can't do this at all (EOPNOTSUPP, ENOTTY, EXDEV, EINVAL).
  public var isUnsupported: Bool { [EOPNOTSUPP, ENOTTY, EXDEV, EINVAL, ENOSYS].contains(code) }
  /// Another process holds the lock (EAGAIN, EWOULDBLOCK).
  public var isLocked: Bool { code == EAGAIN }
}
