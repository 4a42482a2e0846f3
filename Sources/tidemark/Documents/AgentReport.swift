internal import Agent
internal import Bytes
internal import Vault

/// What an agent is, and how it is doing, as text and as JSON.
struct AgentReport {
  let configuration: AgentConfiguration
  let status: AgentCondition?

  init(_ configuration: AgentConfiguration, _ status: AgentCondition? = nil) {
    (self.configuration, self.status) = (configuration, status)
  }

  struct Disk: Encodable {
    let number: UInt16
    let source: String
    let capture: String
    let format: String
  }

  struct Document: Encodable {
    let machine: String
    let name: String
    let vault: String
    let vaultName: String
    let service: String
    let httpsPort: Int
    let replicationPort: Int
    let disks: [Disk]
    let status: AgentCondition?
  }

  var document: Document {
    Document(
      machine: configuration.machine.description, name: configuration.name,
      vault: configuration.vault.description, vaultName: configuration.vaultName,
      service: configuration.host, httpsPort: configuration.controlPort,
      replicationPort: configuration.replicationPort,
      disks: configuration.disks.map {
        Disk(
          number: UInt16($0.number), source: $0.path, capture: $0.capture.name,
          format: $0.format.name)
      },
      status: status)
  }

  var text: String {
    var facts = [
      ("Machine", "\(configuration.name) (\(configuration.machine))"),
      ("Vault", "\(configuration.vaultName) (\(configuration.vault))"),
      ("Service", "\(configuration.host), port \(configuration.replicationPort)"),
    ]
    for disk in configuration.disks {
      facts.append(("Disk \(disk.number)", "\(disk.path), \(disk.capture.name)"))
    }
    guard let status else { return Words.facts(facts) }
    facts.append(("State", status.state.rawValue))
    facts.append(("Last contact", status.lastContact ?? "never"))
    facts.append(("Last point", status.lastPoint?.id ?? "none"))
    if let progress = status.progress {
      facts.append(
        (
          "Progress",
          "\(Words.size(progress.examinedBytes)) of \(Words.size(progress.totalBytes)), "
            + "\(Words.size(progress.changedBytes)) changed"
        ))
    }
    if let expires = status.certificateExpires {
      facts.append(("Certificate", "good until \(expires)"))
    }
    if let failure = status.renewalError {
      facts.append(("Not renewed", "\(failure.time): \(failure.message)"))
    }
    if let failure = status.lastError {
      facts.append(("Last error", "\(failure.time): \(failure.message)"))
    }
    return Words.facts(facts)
  }
}
