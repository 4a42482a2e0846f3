internal import Agent
internal import Bytes
internal import ControlAPI
internal import FileIO
internal import FoundationEssentials
internal import Identity
internal import Operations

/// The two calls that a machine makes to the API before it is known: for the authority, which is not
/// trusted until its fingerprint is that of the registration key, and for a certificate.
struct EnrolmentCall {
  let host: String
  let port: Int
  let key: RegistrationKey

  /// What the service answers with.
  struct Answer: Decodable {
    let machine: String
    let name: String
    let vault: String
    let vaultName: String
    let certificate: String
    let authority: String
    let replicationPort: Int
    let clock: String
    let version: String
  }

  private struct Authority: Decodable {
    let authority: String
  }

  private struct Machine: Encodable {
    let key: String
    let certificateRequest: String
    let hostName: String
    let name: String?
    let operatingSystem: String
    let system: String
    let version: String
    let addresses: [String]
    let clock: String
  }

  private struct Refusal: Decodable {
    struct Reason: Decodable {
      let code: String
      let message: String
    }
    let error: Reason
  }

  /// The vault's authority, if it is the one that the key names.
  ///
  /// - Throws: `.refused` if somebody else answers there, `.failed` if nobody does.
  func authority() throws -> Trust {
    let found: Authority = try ask("GET", "/v1/authority", [], trusting: nil)
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

  /// Trades the key for a certificate.
  func enrol(
    _ request: CertificateRequest, name: String?, trusting trust: Trust
  ) throws -> Answer {
    let machine = Machine(
      key: key.text, certificateRequest: request.pem, hostName: MachineFacts.hostName, name: name,
      operatingSystem: "linux", system: MachineFacts.system, version: Tidemark.version,
      addresses: MachineFacts.addresses, clock: Timestamp.now().iso8601)
    let answer: Answer = try ask(
      "POST", "/v1/enrol", Array(JSONText.line(machine).utf8), trusting: trust)
    try checkClock(answer.clock)
    return answer
  }

  /// Seconds that the clocks of both ends may be apart.
  private static let clockLimit: Int64 = 300

  private func checkClock(_ text: String) throws {
    guard case .absolute(let theirs)? = Instant(text) else {
      throw OperationError(.failed, "The service tells the time as '\(text)', which is none.")
    }
    let apart = Timestamp.now().seconds - theirs.seconds
    guard apart.magnitude > Self.clockLimit else { return }
    throw OperationError(
      .refused,
      "This machine's clock is \(Words.time(seconds: Int64(apart.magnitude))) "
        + "\(apart > 0 ? "ahead of" : "behind") the service's. Set both right, with chrony or "
        + "systemd-timesyncd, make another key and enrol again.")
  }

  private func ask<Document: Decodable>(
    _ method: String, _ target: String, _ body: [UInt8], trusting trust: Trust?
  ) throws -> Document {
    let transport = try NetworkTransport(
      to: .vault(host: host, port: port, authority: trust?.certificatePEM))
    let response = try transport.send(method, target, body)
    let data = Data(response.body)
    guard response.status < 300 else {
      guard let refusal = try? JSONDecoder().decode(Refusal.self, from: data) else {
        throw OperationError(
          .failed,
          "\(host):\(port) answers \(target) with status \(response.status). Is it a service?")
      }
      throw OperationError(
        OperationError.Code(rawValue: refusal.error.code) ?? .failed, refusal.error.message)
    }
    guard let document = try? JSONDecoder().decode(Document.self, from: data) else {
      throw OperationError(
        .failed,
        "What \(host):\(port) answers to \(target) can't be read. Is it a service of this "
          + "release?")
    }
    return document
  }
}
