internal import Agent
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
    var findings = [replicationPort, controlPort]
    if let timeSource {
      findings.append(
        HostCheck.clock(offset: timeSource.offset(within: 2), source: timeSource.host))
    }
    return findings
      + Preflight(in: directory, of: configuration).findings().map(HostFinding.init)
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
      let authority = try directory.identity().load().trust.certificatePEM
      let transport = try NetworkTransport(
        to: .vault(
          host: configuration.host, port: configuration.controlPort, authority: authority))
      guard try transport.isReachable() else {
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
