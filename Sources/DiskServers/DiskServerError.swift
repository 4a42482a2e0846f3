internal import FileIO

/// Why a disk server could not be started, asked or ended: a code for programs, a sentence for people.
public struct DiskServerError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The kinds of failure a caller can tell apart.
  public enum Code: String, Codable, Sendable, CaseIterable {
    /// No server runs for the branch, or it does not listen any more.
    case notRunning
    /// It did not answer, or not do it, in time.
    case timeout
    /// Somebody has the disks open.
    case inUse
    /// It could not be started.
    case notStarted
    /// It was asked and failed.
    case failed
    /// The directory of a server's run can't be used.
    case directory
  }

  /// What kind of failure it was.
  public let code: Code
  /// What failed, on what, and what to do next.
  public let message: String

  /// Describes a failure.
  public init(_ code: Code, _ message: String) { (self.code, self.message) = (code, message) }

  init(_ code: Code, _ error: IOError) { self.init(code, error.description) }

  /// The message.
  public var description: String { message }
}
