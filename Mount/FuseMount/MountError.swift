internal import Glibc

/// Why a mount could not be made, served or ended: a code for programs, a sentence for people.
public struct MountError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The kinds of failure a caller can tell apart.
  public enum Code: String, Sendable, CaseIterable {
    /// The mount point does not exist.
    case missing
    /// The mount point is not a directory.
    case notADirectory
    /// The mount point holds files, which the mount would hide.
    case notEmpty
    /// A vault is mounted there already.
    case alreadyMounted
    /// The process that served the mount is gone, the mount is not.
    case stale
    /// Nothing of ours is mounted there.
    case notMounted
    /// Files of the mount are open.
    case inUse
    /// The system does not let this user do it.
    case refused
    /// FUSE, or the program that mounts for ordinary users, is not installed.
    case unavailable
    /// The process in the background ended before the mount answered.
    case backgroundFailed
    /// A system call failed for another reason.
    case system
  }

  /// What kind of failure it was.
  public let code: Code
  /// What failed, on what, and what to do next.
  public let message: String
  /// The exit status the background process reported with its failure; nil if it reported none.
  public let exitStatus: Int32?

  init(_ code: Code, _ message: String, exitStatus: Int32? = nil) {
    self.code = code
    self.message = message
    self.exitStatus = exitStatus
  }

  /// The message.
  public var description: String { message }
}

extension MountError {
  /// `errno`'s reason in the system's words.
  static func reason(_ code: Int32) -> String { String(cString: strerror(code)) }

  static func system(_ attempt: String, _ code: Int32) -> MountError {
    MountError(.system, "Cannot \(attempt): \(reason(code)).")
  }

  static func missing(_ path: String) -> MountError {
    MountError(
      .missing, "Cannot mount on '\(path)': there is no such directory. Make it with mkdir first.")
  }

  static func notADirectory(_ path: String) -> MountError {
    MountError(.notADirectory, "Cannot mount on '\(path)': it is not a directory.")
  }

  static func notEmpty(_ path: String) -> MountError {
    MountError(
      .notEmpty,
      "Cannot mount on '\(path)': the directory is not empty, and the mount would hide what is in "
        + "it. Choose an empty directory.")
  }

  static func alreadyMounted(_ path: String) -> MountError {
    MountError(
      .alreadyMounted,
      "Cannot mount on '\(path)': a vault is mounted there already. "
        + "End that mount first: tidemark unmount \(path)")
  }

  static func stale(_ path: String) -> MountError {
    MountError(
      .stale,
      "'\(path)' is a stale mount: the process that served it is gone (\(reason(ENOTCONN))). "
        + "Clear it away with: tidemark unmount \(path)")
  }

  static func notMounted(_ path: String) -> MountError {
    MountError(.notMounted, "Cannot unmount '\(path)': no vault is mounted there.")
  }

  static func inUse(_ path: String) -> MountError {
    MountError(
      .inUse,
      "Cannot unmount '\(path)': files or directories in it are in use. "
        + "See who uses them with: fuser -vm \(path)")
  }

  static func allowOtherRefused(_ configuration: String) -> MountError {
    MountError(
      .refused,
      "Cannot let other users see the mount: only root may, unless \(configuration) has a line "
        + "'user_allow_other'. Ask the administrator to add it, or mount without --allow-other.")
  }

  static let noDevice = MountError(
    .unavailable,
    "Cannot mount: this system has no FUSE. Load the kernel's module with: modprobe fuse")

  static let closedDevice = MountError(
    .refused,
    "Cannot mount: this user may not open /dev/fuse. "
      + "The administrator lets all users with: chmod 0666 /dev/fuse")

  static let noHelper = MountError(
    .unavailable,
    "Cannot mount as an ordinary user: fusermount3 is not installed. "
      + "Install it with: apt-get install fuse3")
}
