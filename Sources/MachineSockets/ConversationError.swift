/// Why a machine's socket did not give what was asked of it.
public struct ConversationError: Error, Sendable, CustomStringConvertible {
  /// The kinds of failure that callers tell apart.
  public enum Code: Sendable {
    /// Nobody listens there: the machine does not run.
    case missing
    /// It said that it does not do that.
    case refused
    /// It did not answer in time.
    case timeout
    /// It ended, or answered with something that is no answer.
    case failed
  }

  /// What kind of failure it was.
  public let code: Code
  /// What failed, on which socket, and why.
  public let message: String

  init(_ code: Code, _ message: String) { (self.code, self.message) = (code, message) }

  /// The message.
  public var description: String { message }
}
