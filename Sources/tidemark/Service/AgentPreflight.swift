internal import Agent
internal import Bytes
internal import ControlAPI
internal import FileIO
internal import Identity
internal import Operations
internal import Replication
internal import ReplicationService

/// Looks whether this machine's agent can do its work, before it has to.
struct AgentPreflight {
  let directory: AgentDirectory
  let configuration: AgentConfiguration
  /// Whom to ask for the time; nil for nobody.
  let timeSource: TimeSource?

  private static let patience = Duration.seconds(10)

  /// Blocks for as long as the network takes, at most two thirds of a minute.
  func findings() -> [HostFinding] {
    var findings = ports + [controlPort, serviceClock]
    if let timeSource {
      findings.append(
        HostCheck.clock(offset: timeSource.offset(within: 2), source: timeSource.host))
    }
    let preflight = Preflight(in: directory, of: configuration)
    return findings
      + (preflight.findings() + preflight.hookFindings()).map(HostFinding.init)
  }

  /// Where replication goes: the relay that the agent was sent to, if it was, and the service.
  private var ports: [HostFinding] {
    let place = directory.place()
    guard let relay = place.relay, !place.hosts.isEmpty else {
      return [servicePort(failing: .refused)]
    }
    let found = relayPort(relay, place)
    // Through a relay that answers everything goes on, whether the service can be reached from here or not.
    return [found, servicePort(failing: found.verdict == .ok ? .warning : .refused)]
  }

  private func relayPort(_ relay: Identifier, _ place: ServerPlace) -> HostFinding {
    let subject = "relay port \(place.port)"
    var failures: [String] = []
    let patience = max(.seconds(1), Self.patience / place.hosts.count)
    // Of many addresses the first ones are the best, and each may take its time.
    for host in place.hosts.prefix(10) {
      do {
        try connect(to: host, Int(place.port), .relay(relay), within: patience)
        return HostFinding(subject, .ok, "the relay answers at \(host)")
      } catch { failures.append("\(error)") }
    }
    return HostFinding(
      subject, .refused, failures.joined(separator: " "),
      advice:
        "Let TCP through to port \(place.port) of the relay, where 'tidemark serve --relay' listens, "
        + "or send the machine elsewhere at the service: 'tidemark machine set "
        + "\(configuration.name) --process-server service'.")
  }

  private func servicePort(failing verdict: HostFinding.Verdict) -> HostFinding {
    let (host, port) = (configuration.host, configuration.replicationPort)
    do {
      try connect(to: host, port, .service, within: Self.patience)
      return HostFinding(
        "port \(port)", .ok, "the service of '\(configuration.vaultName)' answers")
    } catch {
      return HostFinding(
        "port \(port)", verdict, "\(error)",
        advice: "Let TCP through to \(host):\(port), where 'tidemark serve' listens for replication"
          + (verdict == .refused ? "." : ": while the relay fails, the agent asks there."))
    }
  }

  private func connect(
    to host: String, _ port: Int, _ peer: Role, within duration: Duration
  ) throws {
    let client = try Client(
      credentials: try directory.identity().load(), to: peer, now: { .now() })
    try client.connect(to: host, port: port, within: duration).close()
  }

  private var controlPort: HostFinding {
    let subject = "port \(configuration.controlPort)"
    do {
      guard try transport().isReachable() else {
        throw OperationError(.failed, "nobody listens there")
      }
      return HostFinding(subject, .ok, "the service's API answers")
    } catch {
      return HostFinding(
        subject, .warning, "\(error)",
        advice: "Let TCP through to \(configuration.host):\(configuration.controlPort), where the "
          + "service's API is: certificates are asked for there.")
    }
  }

  /// How far this machine's clock is from the service's: both ends refuse more than five minutes.
  private var serviceClock: HostFinding {
    let name = "the service of '\(configuration.vaultName)'"
    do {
      let client = ControlClient(try transport())
      let sent = Timestamp.now()
      let theirs = try client.clock().nanoseconds
      return Self.clock(theirs, between: sent, and: .now(), of: name)
    } catch {
      return HostFinding(
        "clock", .warning, "not compared with that of \(name): \(error)",
        advice: "Let the service's API be reached: enrolment compares the clocks, and so does each "
          + "session.")
    }
  }

  /// What it means that a service's clock said `theirs`, in nanoseconds since 1970, between two moments here.
  static func clock(
    _ theirs: Int64, between sent: Timestamp, and received: Timestamp, of source: String
  ) -> HostFinding {
    let middle = sent.rawValue / 2 + received.rawValue / 2
    return HostCheck.clock(
      offset: theirs.subtractingReportingOverflow(middle).partialValue, source: source)
  }

  private func transport() throws -> NetworkTransport {
    let authority = try directory.identity().load().trust.certificatePEM
    return try NetworkTransport(
      to: .vault(
        host: configuration.host, port: configuration.controlPort, authority: authority))
  }
}

extension HostFinding {
  /// A finding of the agent's own.
  fileprivate init(_ finding: Finding) {
    let verdict: Verdict =
      switch finding.verdict {
      case .ok: .ok
      case .warning: .warning
      case .refused: .refused
      }
    self.init(
      finding.subject, verdict, finding.found,
      advice: finding.advice.isEmpty ? nil : finding.advice)
  }
}
