internal import Bytes
internal import FileIO
internal import Identity
internal import Replication
internal import ReplicationService

/// How an agent keeps its certificate good.
extension AgentLoop {
  /// Gets a new certificate if two thirds of the life of the one in use are over; looks from time to time
  /// only. The session that lives goes on with the old one.
  ///
  /// Needs no session, so that machines that nobody has enabled are not forgotten; a failure is told, and
  /// tried again: there is a third of the old certificate's life for that.
  func renewIfDue() {
    guard nextRenewal.map({ clock.now >= $0 }) ?? true else { return }
    nextRenewal = clock.now + pace.renewal
    do throws(AgentError) {
      let files = try directory.identity()
      let credentials = try inIdentity { () throws(IdentityError) in try files.load() }
      status.certificateExpires = credentials.identity.notAfter.iso8601
      let now = Timestamp.now()
      guard credentials.needsRenewal(at: now), now <= credentials.identity.notAfter else { return }
      let renewed = try renew(credentials, files, try directory.configuration())
      hasNewCertificate = true
      status.certificateExpires = renewed.identity.notAfter.iso8601
      status.renewalError = nil
      note(
        .notice, "Renewed the certificate",
        ["expires": renewed.identity.notAfter.iso8601, "serial": renewed.identity.serial])
    } catch {
      guard !cancellation.isCancelled else { return }
      if status.renewalError?.message != error.message {
        note(.warning, "The certificate could not be renewed. " + error.message)
      }
      status.renewalError = AgentCondition.Failure(time: now, message: error.message)
    }
  }

  /// Asks for a certificate on a connection of its own, and puts it in the place of the old one.
  private func renew(
    _ old: Credentials, _ files: IdentityFiles, _ configuration: AgentConfiguration
  ) throws(AgentError) -> Credentials {
    let request = try inIdentity { () throws(IdentityError) in
      try files.makeRequest(for: old.identity.role)
    }
    var renewal = Renewal(certificate: old.certificatePEM, request: request.pem)
    renewal.signature = try inIdentity { () throws(IdentityError) in
      try old.signingKey.sign(renewal.digest)
    }
    let answer = try ask(RenewalSession(renewal), with: old, configuration)
    return try inIdentity { () throws(IdentityError) in
      let granted = try old.trust.verify(certificatePEM: answer.certificate, now: .now())
      guard granted.role == old.identity.role else {
        throw IdentityError(
          .refused, "The service issued a certificate for \(granted.role), which this is not.")
      }
      return try files.store(
        certificatePEM: answer.certificate, authorityPEM: old.trust.certificatePEM, now: .now())
    }
  }

  private func ask(
    _ session: RenewalSession, with credentials: Credentials, _ configuration: AgentConfiguration
  ) throws(AgentError) -> Renewed {
    var session = session
    let connection = try onLink { () throws(TransportError) in
      try Client(credentials: credentials, now: { .now() }).connect(
        to: configuration.host, port: configuration.replicationPort, within: pace.attempt,
        cancellation: cancellation)
    }
    defer { connection.close() }
    try onLink { () throws(TransportError) in
      try connection.send(session.start(), within: pace.attempt)
    }
    while true {
      let frame = try onLink { () throws(TransportError) in
        try connection.receive(within: pace.attempt)
      }
      switch try inProtocol({ () throws(ProtocolError) in try session.receive(frame) }) {
      case nil: continue
      case .success(let renewed): return renewed
      case .failure(let refusal): throw AgentError(refusal)
      }
    }
  }

  /// The key and certificate in use, if their time is not over.
  func credentials() throws(AgentError) -> Credentials {
    let files = try directory.identity()
    let credentials = try inIdentity { () throws(IdentityError) in try files.load() }
    status.certificateExpires = credentials.identity.notAfter.iso8601
    do throws(IdentityError) { try credentials.checkValidity(at: .now()) } catch {
      throw AgentError(
        .expired,
        "\(error.message) Check this machine's clock; if it is right, stop the agent and enrol again "
          + "with a new registration key: 'tidemark agent enrol --again'.")
    }
    return credentials
  }
}
