public import FileIO

/// Why something could not be done with keys and certificates: a code for programs, a sentence for
/// people.
public struct IdentityError: Error, Sendable, CustomStringConvertible {
  /// The kinds of failure a caller can tell apart.
  public enum Code: String, Sendable, CaseIterable {
    /// There is no such file.
    case missing
    /// The bytes are not what was written, or no key, certificate or request at all.
    case damaged
    /// The time a certificate is good for is over, or has not begun.
    case expired
    /// It is well-formed, and must not be trusted or used all the same.
    case refused
    /// It is there already, and is not replaced.
    case alreadyExists
    /// A system call failed for another reason.
    case io
  }

  /// What kind of failure it was.
  public let code: Code
  /// What failed, on what, and what to do next.
  public let message: String
  /// The system call behind it, if there was one.
  public let cause: IOError?

  /// Describes a failure.
  public init(_ code: Code, _ message: String, cause: IOError? = nil) {
    (self.code, self.message, self.cause) = (code, message, cause)
  }

  /// Turns a failed system call into the failure it means here.
  public init(_ error: IOError) {
    self.init(error.isMissing ? .missing : .io, error.description, cause: error)
  }

  /// The message.
  public var description: String { message }
}

/// Runs `body` and turns the error of a failed system call into one of this module.
func translated<Result: ~Copyable>(
  _ body: () throws(IOError) -> Result
) throws(IdentityError) -> Result {
  do { return try body() } catch { throw IdentityError(error) }
}
