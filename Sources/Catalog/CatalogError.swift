public import FileIO
internal import GRDB

/// Why the catalog could not be used: a code for programs, a sentence for people.
public struct CatalogError: Error, Sendable, CustomStringConvertible {
  /// The kinds of failure a caller can tell apart.
  public enum Code: String, Sendable, CaseIterable {
    /// The file is not what was written.
    case damaged
    /// The file was written by a newer version of Tidemark.
    case newerVersion
    /// Another process has it open.
    case locked
    /// There is no room left.
    case full
    /// It may not be written.
    case readOnly
    /// Something of that name is there already.
    case alreadyExists
    /// It failed for another reason.
    case io
  }

  /// What kind of failure it was.
  public let code: Code
  /// What failed, on what, and what to do next.
  public let message: String
  /// The system call behind it, if there was one.
  public let cause: IOError?

  init(_ code: Code, _ message: String, cause: IOError? = nil) {
    (self.code, self.message, self.cause) = (code, message, cause)
  }

  /// The message.
  public var description: String { message }

  static func damaged(_ path: String, _ what: String) -> CatalogError {
    CatalogError(
      .damaged,
      "The catalog '\(path)' is damaged: \(what). Recovery points are not affected, and can be read "
        + "as before. Move it away, with the files beside it whose names begin the same; a new one "
        + "is made then. Registration keys, tokens, jobs and events are lost with it.")
  }

  static func newer(_ path: String) -> CatalogError {
    CatalogError(
      .newerVersion,
      "The catalog '\(path)' was written by a newer tidemark. Use that one.")
  }

  /// Turns whatever came out of SQLite, of reading its rows, or of a system call into its meaning.
  init(_ error: any Error, _ path: String) {
    switch error {
    case let error as CatalogError: self = error
    case let error as IOError:
      let code: Code = error.isFull ? .full : error.isRefused ? .readOnly : .io
      self.init(code, error.description, cause: error)
    case let error as DatabaseError: self.init(database: error, path)
    default: self = .damaged(path, "a row can't be read (\(error))")
    }
  }

  private init(database error: DatabaseError, _ path: String) {
    let reason = error.message ?? "SQLite says \(error.resultCode.rawValue)"
    switch error.resultCode {
    case .SQLITE_CORRUPT, .SQLITE_NOTADB: self = .damaged(path, reason)
    case .SQLITE_FULL:
      self.init(.full, "There is no room left for the catalog '\(path)'. Free some, and try again.")
    case .SQLITE_READONLY, .SQLITE_PERM, .SQLITE_CANTOPEN:
      self.init(
        .readOnly, "The catalog '\(path)' can't be written: \(reason). Look at its permissions.")
    case .SQLITE_BUSY, .SQLITE_LOCKED:
      self.init(
        .locked,
        "Another process has the catalog '\(path)' open; 'fuser \(path)' names it. End it first.")
    case .SQLITE_CONSTRAINT:
      self.init(.alreadyExists, "The catalog '\(path)' holds such an entry already: \(reason).")
    default: self.init(.io, "The catalog '\(path)' can't be used: \(reason).")
    }
  }
}
