public import Bytes
public import Identity
public import Replication

/// Gets an agent or relay a new certificate in the place of the one in use, on a connection of its own:
/// whatever else is under way goes on with the old one.
public struct CertificateRenewal: Sendable {
  /// Why there is no new certificate. The old one is in use as before.
  public enum Failure: Error, Sendable {
    /// The service can't be reached.
    case link(TransportError)
    /// Keys or certificates can't be read, made, or stored, or are not what they should be.
    case identity(IdentityError)
    /// The service answered with something else.
    case protocolBroken(ProtocolError)
    /// The service said no.
    case refused(Refusal)
  }

  private let files: IdentityFiles
  private let host: String
  private let port: Int
  private let peer: Role
  private let patience: Duration
  private let now: @Sendable () -> Timestamp

  /// A renewal of what `files` hold, at the service there, or through a relay, which passes it on; each step
  /// may take `patience`.
  ///
  /// Nothing else is believed of a relay: a certificate counts only if it is of the pinned authority, and for
  /// the new key. What is said to be refused there is not known to be.
  public init(
    of files: IdentityFiles, at host: String, port: Int, to peer: Role = .service,
    patience: Duration = .seconds(10),
    now: @escaping @Sendable () -> Timestamp
  ) {
    (self.files, self.host, self.port, self.peer) = (files, host, port, peer)
    (self.patience, self.now) = (patience, now)
  }

  /// Makes a new key, asks for its certificate, and puts both in the place of the old ones: both or
  /// neither, durable when it returns. Blocks; for the only process that writes to the files.
  ///
  /// - Returns: what is in use from now on.
  public func run(cancellation: Cancellation) throws(Failure) -> Credentials {
    let (old, renewal) = try inIdentity { () throws(IdentityError) in
      let old = try files.load()
      let request = try files.makeRequest(for: old.identity.role)
      var renewal = Renewal(certificate: old.certificatePEM, request: request.pem)
      renewal.signature = try old.signingKey.sign(renewal.digest)
      return (old, renewal)
    }
    let answer = try ask(RenewalSession(renewal), with: old, cancellation)
    return try inIdentity { () throws(IdentityError) in
      let granted = try old.trust.verify(certificatePEM: answer.certificate, now: now())
      guard granted.role == old.identity.role else {
        throw IdentityError(
          .refused, "The service issued a certificate for \(granted.role), which this is not.")
      }
      return try files.store(
        certificatePEM: answer.certificate, authorityPEM: old.trust.certificatePEM, now: now())
    }
  }

  private func ask(
    _ session: RenewalSession, with credentials: Credentials, _ cancellation: Cancellation
  ) throws(Failure) -> Renewed {
    var session = session
    let connection = try onLink { () throws(TransportError) in
      try Client(credentials: credentials, to: peer, now: now).connect(
        to: host, port: port, within: patience, cancellation: cancellation)
    }
    defer { connection.close() }
    try onLink { () throws(TransportError) in
      try connection.send(session.start(), within: patience)
    }
    // Signs of life are no reason to wait for ever.
    let deadline = ContinuousClock.now + patience * 3
    while true {
      let frame = try onLink { () throws(TransportError) in
        try connection.receive(within: max(.zero, min(patience, deadline - .now)))
      }
      let answer: Result<Renewed, Refusal>?
      do throws(ProtocolError) { answer = try session.receive(frame) } catch {
        throw .protocolBroken(error)
      }
      switch answer {
      case nil: continue
      case .success(let renewed): return renewed
      case .failure(let refusal): throw .refused(refusal)
      }
    }
  }

  private func inIdentity<Result>(
    _ body: () throws(IdentityError) -> Result
  ) throws(Failure) -> Result {
    do { return try body() } catch { throw .identity(error) }
  }

  private func onLink<Result>(
    _ body: () throws(TransportError) -> Result
  ) throws(Failure) -> Result {
    do { return try body() } catch { throw .link(error) }
  }
}
