internal import Agent
internal import Bytes
internal import ControlAPI
internal import FileIO
internal import Identity
internal import Operations
internal import Vault

/// The two calls that a machine makes to the API before it is known: for the authority, which is not
/// trusted until its fingerprint is that of the registration key, and for a certificate.
struct EnrolmentCall {
  let host: String
  let port: Int
  let key: RegistrationKey

  /// The vault's authority, if it is the one that the key names.
  ///
  /// - Throws: `.refused` if somebody else answers there, `.failed` if nobody does.
  func authority() throws -> Trust {
    let found = try client(trusting: nil).authority()
    let trust = try Trust(certificatePEM: found.authority)
    guard trust.fingerprint == key.fingerprint else {
      throw OperationError(
        .refused,
        "Who answers at \(host):\(port) is not the service that the registration key is for: its "
          + "authority is \(trust.fingerprint), the key's is \(key.fingerprint). Check the address; if "
          + "it is right, somebody is between. Nothing was sent.")
    }
    return trust
  }

  /// Trades the key for a certificate; with a `previous` identity the machine stays what it was.
  func enrol(
    _ request: CertificateRequest, name: String?, previous: Credentials?, trusting trust: Trust
  ) throws -> EnrolmentDocument {
    var machine = Enrolment(
      key: key, request: request, hostName: MachineFacts.hostName, name: name,
      operatingSystem: .linux, version: Tidemark.version, addresses: MachineFacts.addresses,
      clock: .now())
    machine.previous = try previous.map { try PreviousIdentity($0, for: request) }
    let answer = try client(trusting: trust).enrol(NewAgentDocument(machine))
    try checkClock(answer.clock)
    return answer
  }

  /// Trades the key for the certificate of a relay.
  func enrolRelay(
    _ request: CertificateRequest, name: String?, trusting trust: Trust
  ) throws -> EnrolmentDocument {
    let relay = Enrolment(
      key: key, request: request, hostName: MachineFacts.hostName, name: name,
      operatingSystem: .linux, version: Tidemark.version, addresses: MachineFacts.addresses,
      clock: .now())
    let answer = try client(trusting: trust).enrolRelay(NewAgentDocument(relay))
    try checkClock(answer.clock)
    return answer
  }

  private func checkClock(_ text: String) throws {
    guard case .absolute(let theirs)? = Instant(text) else {
      throw OperationError(.failed, "The service tells the time as '\(text)', which is none.")
    }
    let apart = Timestamp.now().seconds - theirs.seconds
    guard apart.magnitude > Enrolment.clockLimit else { return }
    throw OperationError(
      .refused,
      "This machine's clock is \(Words.time(seconds: Int64(apart.magnitude))) "
        + "\(apart > 0 ? "ahead of" : "behind") the service's. Set both right, with chrony or "
        + "systemd-timesyncd, make another key and enrol again.")
  }

  private func client(trusting trust: Trust?) throws(OperationError) -> ControlClient {
    ControlClient(
      try NetworkTransport(
        to: .vault(host: host, port: port, authority: trust?.certificatePEM)))
  }
}
