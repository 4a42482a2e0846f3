internal import Bytes
internal import FileIO
internal import Identity
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
      let renewed = try renew(files)
      hasNewCertificate = true
      status.certificateExpires = renewed.identity.notAfter.iso8601
      status.renewalError = nil
      note(
        .notice, "Renewed the certificate",
        ["expires": renewed.identity.notAfter.iso8601, "serial": renewed.identity.serial])
    } catch {
      guard !cancellation.isCancelled else { return }
      nextRenewal = clock.now + min(pace.renewal, pace.rare)
      if status.renewalError?.message != error.message {
        note(.warning, "The certificate could not be renewed. " + error.message)
      }
      status.renewalError = AgentCondition.Failure(time: now, message: error.message)
    }
  }

  /// Renews through the relay, which is perhaps all that can be reached, or else at the service. Only what
  /// that says itself is its word: whatever a relay answers, the service is asked.
  ///
  /// Another of the relay's addresses is tried each time: the session that lives may not wait for many.
  private func renew(_ files: IdentityFiles) throws(AgentError) -> Credentials {
    let configuration = try directory.configuration()
    var earlier = ""
    let relays = route.relays
    renewals &+= 1
    for stop in relays.dropFirst(relays.isEmpty ? 0 : renewals % relays.count).prefix(1) {
      do throws(AgentError) { return try renew(files, at: stop) } catch {
        guard error.code != .cancelled else { throw error }
        earlier +=
          "Through the process server at \(stop.host), port \(stop.port): \(error.message) "
      }
    }
    do throws(AgentError) { return try renew(files, at: Route.service(configuration)) } catch {
      throw error.code == .link ? AgentError(.link, earlier + error.message) : error
    }
  }

  private func renew(
    _ files: IdentityFiles, at stop: Route.Stop
  ) throws(AgentError) -> Credentials {
    let renewal = CertificateRenewal(
      of: files, at: stop.host, port: stop.port, to: stop.peer, patience: pace.attempt,
      now: { .now() })
    do throws(CertificateRenewal.Failure) {
      return try renewal.run(cancellation: cancellation)
    } catch {
      switch error {
      case .link(let error): throw AgentError(error)
      case .identity(let error): throw AgentError(error)
      case .protocolBroken(let error): throw AgentError(error)
      case .refused(let refusal): throw AgentError(refusal)
      }
    }
  }

  /// The key and certificate in use, if their time is not over.
  func credentials() throws(AgentError) -> Credentials {
    let files = try directory.identity()
    let credentials = try inIdentity { () throws(IdentityError) in try files.load() }
    status.certificateExpires = credentials.identity.notAfter.iso8601
    do throws(IdentityError) { try credentials.checkValidity(at: .now()) } catch {
      throw AgentError(expired: error)
    }
    return credentials
  }
}
