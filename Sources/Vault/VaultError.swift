public import FileIO

/// Why something could not be done with a vault: a code for programs, a sentence for people.
public struct VaultError: Error, Sendable, CustomStringConvertible {
  /// The kinds of failure a caller can tell apart.
  public enum Code: String, Sendable, CaseIterable {
    /// The directory is no vault.
    case notAVault
    /// The vault was written by a newer version of Tidemark.
    case newerVersion
    /// Another process is writing to the vault.
    case locked
    /// No machine has that name.
    case unknownMachine
    /// No recovery point answers to that.
    case unknownPoint
    /// The machine has no such disk.
    case unknownDisk
    /// There is no such branch.
    case unknownBranch
    /// A name or a setting breaks a rule.
    case invalid
    /// Something of that name is there already.
    case alreadyExists
    /// A reader still uses what was to be removed.
    case inUse
    /// Bytes on disk are not what was written.
    case damaged
    /// Records that a source sent break the rules of the log.
    case malformed
    /// The vault may only be read.
    case readOnly
    /// There is no room left.
    case full
    /// A branch has stored as much as it may.
    case overBudget
    /// The work was stopped on request.
    case cancelled
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
    self.code = code
    self.message = message
    self.cause = cause
  }

  /// Turns a failed system call into the failure of the vault it means.
  public init(_ error: IOError) {
    let code: Code =
      switch error {
      case _ where error.isFull: .full
      case _ where error.isRefused: .readOnly
      default: .io
      }
    self.init(code, error.description, cause: error)
  }

  /// The message.
  public var description: String { message }
}

/// Runs `body` and turns the error of a failed system call into one of the vault.
func translated<Result: ~Copyable>(
  _ body: () throws(IOError) -> Result
) throws(VaultError) -> Result {
  do { return try body() } catch { throw VaultError(error) }
}
