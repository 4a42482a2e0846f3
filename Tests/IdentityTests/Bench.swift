import Bytes
import FileIO
import FoundationEssentials
import Support

@testable import Identity

/// A vault's authority in a directory of its own, and hands that ask it for certificates.
struct Bench {
  let directory: TemporaryDirectory
  let vault = Identifier.random()
  let now = Timestamp(seconds: 1_795_170_000)
  let authority: CertificateAuthority

  init() throws {
    directory = try TemporaryDirectory("identity")
    authority = try CertificateAuthority.create(
      in: directory.file("ca"), vault: vault, vaultName: "Bench", now: now)
  }

  static let ninetyDays = Duration.seconds(90 * 86400)

  /// A moment so many seconds after the authority was made.
  func later(_ seconds: Int64) -> Timestamp { Timestamp(seconds: now.seconds + seconds) }

  /// An end's own directory.
  func end(_ name: String) throws -> IdentityFiles { try IdentityFiles(in: directory.file(name)) }

  /// An enrolled end: its key, its certificate and the authority.
  func enrolled(_ role: Role, names: [String] = []) throws -> Credentials {
    let files = try end("end-\(Identifier.random())")
    return try files.renew(
      from: authority, role: role, validity: Self.ninetyDays, names: names, now: now
    ).credentials
  }

  /// Writes text to a file that openssl shall read.
  func write(_ text: String, as name: String) throws -> String {
    try write(Array(text.utf8), as: name)
  }

  func write(_ bytes: [UInt8], as name: String) throws -> String {
    let path = directory.file(name)
    try FileSystem.system.replaceFile(path, with: bytes, permissions: 0o600)
    return path
  }

  /// Runs openssl, whose clock is set to the authority's where certificates are verified.
  @discardableResult
  func openssl(_ arguments: String...) throws -> Program.Result {
    try Program("openssl", arguments).wait(seconds: 60)
  }
}

/// The code of the error that `body` throws; nil if it throws none.
func code(_ body: () throws -> Void) -> IdentityError.Code? {
  do {
    try body()
    return nil
  } catch {
    return (error as? IdentityError)?.code
  }
}

/// The message of the error that `body` throws; empty if it throws none.
func message(_ body: () throws -> Void) -> String {
  do {
    try body()
    return ""
  } catch {
    return "\(error)"
  }
}

/// The bytes between the lines that begin and end a PEM text.
func der(_ pem: String) throws -> [UInt8] {
  let lines = pem.split(separator: "\n").filter { !$0.hasPrefix("-----") }
  return Array(Data(base64Encoded: lines.joined()) ?? Data())
}
