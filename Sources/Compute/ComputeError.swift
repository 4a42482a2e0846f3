/// Why a machine could not be run, stopped or found: a code for programs, a sentence for people.
public struct ComputeError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The kinds of failure that callers tell apart.
  public enum Code: String, Hashable, Sendable, CaseIterable {
    /// The host lacks what it needs.
    case missing
    /// The plan can't be carried out.
    case plan
    /// It died at once, or a file of it can't be made, read or removed.
    case failed
    /// The guest did not do in time what it was asked.
    case timeout
    /// It was told not to wait any longer.
    case cancelled
    /// It runs, and does not answer.
    case unresponsive
    /// There is nothing that this provider could do it with.
    case unsupported
  }

  /// What kind of failure it was.
  public let code: Code
  /// What failed, on what, why, and what to do next.
  public let message: String

  /// Describes a failure.
  public init(_ code: Code, _ message: String) { (self.code, self.message) = (code, message) }

  /// The message.
  public var description: String { message }
}
