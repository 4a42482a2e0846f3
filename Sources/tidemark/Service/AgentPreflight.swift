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

  /// Blocks for as long as the network takes, at most half a minute.
  func findings() -> [HostFinding] {
    var findings = [replicationPort, controlPort, serviceClock]
    if let timeSource {
      findings.append(
        HostCheck.clock(offset: timeSource.offset(within: 2), source: timeSource.host))
    }
    let preflight = Preflight(in: directory, of: configuration)
    return findings
      + (preflight.findings() + preflight.hookFindings()).map(HostFinding.init)
  }

  private var replicationPort: HostFinding {
    let subject = "port \(configuration.replicationPort)"
    do {
      let client = try Client(credentials: try directory.identity().load(), now: { .now() })
      let connection = try client.connect(
        to: configuration.host, port: configuration.replicationPort, within: Self.patience)
      connection.close()
      return HostFinding(subject, .ok, "the service of '\(configuration.vaultName)' answers")
    } catch {
      return HostFinding(
        subject, .refused, "\(error)",
        advice: "Let TCP through to \(configuration.host):\(configuration.replicationPort), where "
          + "'tidemark serve' listens for replication.")
    }
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
