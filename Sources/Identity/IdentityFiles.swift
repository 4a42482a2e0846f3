public import Bytes
internal import Crypto
public import FileIO
internal import Synchronization
internal import X509

/// The directory (0700) with what one end shows of itself: `key.pem` (its private key),
/// `certificate.pem` and `ca.pem` (the authority of its vault), all 0600.
///
/// The three belong together and are replaced together: the new ones are made durable beside the old
/// ones as `….new`, then renamed. A crash before the first rename leaves the old three, one after it
/// the new three, because whoever opens the directory next finishes the renames. A request's key
/// waits in `key.pem.new` until its certificate comes.
///
/// Safe from any thread of one process; calls block on the disk. Two processes must not write at once.
public final class IdentityFiles: Sendable {
  /// The directory.
  public let directory: String
  private let system: FileSystem
  /// Guards the files: one reader or writer at a time.
  private let turn = Mutex<Void>(())

  private static let names = ["key.pem", "certificate.pem", "ca.pem"]

  /// Opens the directory, made if it is missing, and ends a replacement that a crash cut short.
  ///
  /// - Throws: `.refused` if others can look into the directory.
  public init(in directory: String, on system: FileSystem = .system) throws(IdentityError) {
    (self.directory, self.system) = (directory, system)
    try KeyDirectory.make(directory, on: system)
    try finishReplacement()
  }

  /// Makes a new private key, and a request for its certificate. The key in use stays in use.
  ///
  /// A key made before, for which no certificate has come, is forgotten.
  public func makeRequest(for role: Role) throws(IdentityError) -> CertificateRequest {
    try turn.withLock { (_) throws(IdentityError) in
      let key = P256.Signing.PrivateKey()
      try KeyDirectory.replace(path(0) + ".new", with: key.pemRepresentation, on: system)
      return try CertificateRequest(for: role, key: key)
    }
  }

  /// Takes the certificate that came for the last request, and with its key puts it in the place of
  /// the old ones: both or neither, durable when it returns. `authorityPEM` is the vault's authority;
  /// whoever calls has compared its fingerprint.
  ///
  /// - Throws: `.refused` if the certificate is not the authority's or not for the key that waits,
  ///   `.expired`, `.damaged`, `.missing` if no key waits. Nothing is changed then.
  public func store(
    certificatePEM: String, authorityPEM: String, now: Timestamp
  ) throws(IdentityError) -> Credentials {
    try turn.withLock { (_) throws(IdentityError) in
      let key = try KeyDirectory.readSecret(path(0) + ".new", on: system)
      let credentials = try Credentials(
        keyPEM: key, certificatePEM: certificatePEM, authorityPEM: authorityPEM, of: directory)
      try credentials.checkValidity(at: now)
      try KeyDirectory.replace(path(1) + ".new", with: certificatePEM, on: system)
      try KeyDirectory.replace(path(2) + ".new", with: authorityPEM, on: system)
      try rename()
      return credentials
    }
  }

  /// The key and certificate in use.
  ///
  /// - Throws: `.missing` before the first certificate was stored, `.damaged` or `.refused` if a file
  ///   was changed, does not belong to the others, or can be read by others. Whether the time of the
  ///   certificate is over is for ``Credentials/checkValidity(at:)`` to tell.
  public func load() throws(IdentityError) -> Credentials {
    try turn.withLock { (_) throws(IdentityError) in try readAll(["", "", ""]) }
  }

  private func path(_ index: Int) -> String { directory + "/" + Self.names[index] }

  /// Reads the three files, each with or without `.new`.
  private func readAll(_ suffixes: [String]) throws(IdentityError) -> Credentials {
    let key: String
    do throws(IdentityError) {
      key = try KeyDirectory.readSecret(path(0) + suffixes[0], on: system)
    } catch {
      guard error.code == .missing else { throw error }
      throw IdentityError(
        .missing, "'\(directory)' holds no key. Enrol this end with a registration key.",
        cause: error.cause)
    }
    return try Credentials(
      keyPEM: key, certificatePEM: KeyDirectory.read(path(1) + suffixes[1], on: system),
      authorityPEM: KeyDirectory.read(path(2) + suffixes[2], on: system), of: directory)
  }

  /// Renames what waits as `.new` if some of it was renamed already, or if there is nothing older.
  private func finishReplacement() throws(IdentityError) {
    let isNew = Self.names.indices.map { system.exists(path($0) + ".new") }
    guard isNew.contains(true), (try? readAll(["", "", ""])) == nil,
      (try? readAll(isNew.map { $0 ? ".new" : "" })) != nil
    else { return }
    try rename()
  }

  private func rename() throws(IdentityError) {
    for index in Self.names.indices where system.exists(path(index) + ".new") {
      try translated { () throws(IOError) in
        try system.rename(path(index) + ".new", to: path(index))
      }
    }
    try translated { () throws(IOError) in try system.syncDirectory(directory) }
  }
}

extension IdentityFiles {
  /// Makes a new key and has the authority issue its certificate: for the service, which lives on the
  /// authority's machine.
  public func renew(
    from authority: CertificateAuthority, role: Role, validity: Duration, names: [String] = [],
    now: Timestamp
  ) throws(IdentityError) -> (credentials: Credentials, issued: IssuedCertificate) {
    let request = try makeRequest(for: role)
    let issued = try authority.issue(
      role, request: request, validity: validity, names: names, now: now)
    let credentials = try store(
      certificatePEM: issued.pem, authorityPEM: authority.certificatePEM, now: now)
    return (credentials, issued)
  }
}
