internal import Capture
internal import Catalog
internal import FileIO
internal import Identity
internal import ImageFormats
internal import Vault

/// Why an operation was not done, or not all of it: a code for programs, sentences for people.
public struct OperationError: Error, Sendable, CustomStringConvertible {
  /// The kinds of outcome that callers tell apart; the command line has an exit status for each.
  public enum Code: String, Sendable, CaseIterable {
    /// It failed for a reason that has no code of its own.
    case failed
    /// It was done, but something that belongs to it was not.
    case incomplete
    /// There is no vault where one was named, or it is of a newer version.
    case noVault
    /// Another process is writing.
    case locked
    /// Bytes are not what was written.
    case damaged
    /// No machine, recovery point or disk answers to the name.
    case unknown
    /// A rule forbids it: a name, a setting, a state, or what was asked for.
    case refused
    /// The source of a disk is missing, can't be read, changed, or has a wrong size.
    case source
    /// No room is left, or access is not allowed.
    case unwritable
    /// It was stopped on request.
    case cancelled
  }

  /// What kind of outcome it was.
  public let code: Code
  /// What failed, on what, why, and what to do next.
  public let message: String

  /// Describes an outcome.
  public init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  /// The message.
  public var description: String { message }
}

extension OperationError {
  init(_ error: VaultError) {
    let code: Code =
      switch error.code {
      case .notAVault, .newerVersion: .noVault
      case .locked: .locked
      case .unknownMachine, .unknownPoint, .unknownDisk, .unknownBranch: .unknown
      case .invalid, .alreadyExists, .inUse, .malformed: .refused
      case .damaged: .damaged
      case .readOnly, .full, .overBudget: .unwritable
      case .cancelled: .cancelled
      case .io: .failed
      }
    self.init(code, error.message)
  }

  init(_ error: CaptureError) {
    switch error.code {
    case .sourceMissing, .sourceUnreadable, .sourceChanged, .sizeChanged, .sizeInvalid,
      .notClonable, .cloneSpace, .reverted, .rewritten:
      self.init(.source, error.message)
    case .cancelled: self.init(.cancelled, error.message)
    case .session: self.init(.failed, error.message)
    case .vault:
      self = error.vaultError.map { OperationError($0) } ?? .init(.failed, error.message)
    }
  }

  init(_ error: ImageError) {
    switch error.code {
    case .invalidSize, .tooLarge, .ruleBroken, .alreadyExists: self.init(.refused, error.message)
    case .notAnImage, .damaged, .unsupported: self.init(.source, error.message)
    case .different: self.init(.damaged, error.message)
    case .busy: self.init(.locked, error.message)
    case .cancelled: self.init(.cancelled, error.message)
    case .full: self.init(.unwritable, error.message)
    case .source:
      let vault = error.cause as? VaultError
      self.init(vault.map { OperationError($0).code } ?? .failed, error.message)
    case .io:
      let cause = error.cause as? IOError
      self.init(cause.map { OperationError($0).code } ?? .failed, error.message)
    }
  }

  init(_ error: CatalogError) {
    let code: Code =
      switch error.code {
      case .damaged: .damaged
      case .newerVersion: .noVault
      case .locked: .locked
      case .full, .readOnly: .unwritable
      case .alreadyExists: .refused
      case .io: .failed
      }
    self.init(code, error.message)
  }

  init(_ error: IdentityError) {
    let code: Code =
      switch error.code {
      case .damaged: .damaged
      case .missing: .failed
      case .expired, .refused, .alreadyExists: .refused
      case .io: error.cause.map { OperationError($0).code } ?? .failed
      }
    self.init(code, error.message)
  }

  init(_ error: IOError) {
    self.init(error.isFull || error.isRefused ? .unwritable : .failed, error.description)
  }
}

/// Runs `body` and turns the vault's error into one of the operation.
func inVault<Result: ~Copyable>(
  _ body: () throws(VaultError) -> Result
) throws(OperationError) -> Result {
  do { return try body() } catch { throw OperationError(error) }
}

/// Runs `body` and turns a system call's error into one of the operation.
func inSystem<Result: ~Copyable>(
  _ body: () throws(IOError) -> Result
) throws(OperationError) -> Result {
  do { return try body() } catch { throw OperationError(error) }
}

/// Runs `body` and turns capture's error into one of the operation.
func inCapture<Result: ~Copyable>(
  _ body: () throws(CaptureError) -> Result
) throws(OperationError) -> Result {
  do { return try body() } catch { throw OperationError(error) }
}

/// Runs `body` and turns the error of an image into one of the operation.
func inImages<Result: ~Copyable>(
  _ body: () throws(ImageError) -> Result
) throws(OperationError) -> Result {
  do { return try body() } catch { throw OperationError(error) }
}

/// Runs `body` and turns the error of keys and certificates into one of the operation.
func inIdentity<Result>(
  _ body: () throws(IdentityError) -> Result
) throws(OperationError) -> Result {
  do { return try body() } catch { throw OperationError(error) }
}

/// Runs `body` and turns the catalog's error into one of the operation.
func inCatalog<Result>(
  _ body: () throws(CatalogError) -> Result
) throws(OperationError) -> Result {
  do { return try body() } catch { throw OperationError(error) }
}
