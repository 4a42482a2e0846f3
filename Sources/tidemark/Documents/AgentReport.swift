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

  struct HookDocument: Encodable {
    let kind: String
    let paths: [String]
    let everyCycle: Bool
  }

  struct SourceHookDocument: Encodable {
    let kind: String
    let path: String

    init(_ hook: SourceHook) { (kind, path) = (hook.kind.rawValue, hook.path) }
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
    let hooks: [HookDocument]
    let freezeLimitSeconds: Int
    let shutdownHook: SourceHookDocument?
    let fenceHook: SourceHookDocument?
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
      hooks: configuration.hooks.map {
        HookDocument(
          kind: $0.kind.rawValue, paths: $0.paths, everyCycle: $0.isEveryCycle)
      },
      freezeLimitSeconds: configuration.freezeLimit,
      shutdownHook: configuration.shutdown.map { SourceHookDocument($0) },
      fenceHook: configuration.fence.map { SourceHookDocument($0) }, status: status)
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
    for hook in configuration.hooks {
      facts.append(("Hook", hook.text + (hook.isEveryCycle ? ", in every cycle" : "")))
    }
    if let hook = configuration.shutdown { facts.append(("Shutdown hook", hook.text)) }
    if let hook = configuration.fence { facts.append(("Fence hook", hook.text)) }
    guard let status else { return Words.facts(facts) }
    facts.append(("State", status.state.rawValue))
    if let fenced = status.fenced {
      facts.append(("Fenced", "\(fenced.time): \(fenced.message)"))
    }
    if let hook = status.fenceHook {
      facts.append(("Fence hook ran", "\(hook.time): \(hook.message)"))
    }
    if let version = status.serviceVersion { facts.append(("Service version", version)) }
    if let server = status.processServer { facts.append(("Process server", server)) }
    if let seconds = status.intervalSeconds {
      facts.append(("Interval", Words.time(seconds: Int64(seconds))))
    }
    if let bytes = status.bandwidth {
      facts.append(("Bandwidth", Words.size(UInt64(clamping: bytes)) + " a second"))
    }
    facts.append(("Last contact", status.lastContact ?? "never"))
    facts.append(("Last point", status.lastPoint?.id ?? "none"))
    if !configuration.hooks.isEmpty {
      facts.append(("Last app point", status.lastApplicationPoint?.id ?? "none"))
      if let held = status.heldMilliseconds { facts.append(("Writers held", "\(held) ms")) }
    }
    if let failure = status.applicationError {
      facts.append(("Hooks failed", "\(failure.time): \(failure.message)"))
    }
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
    if let reason = status.resynchronisation {
      facts.append(("Resynchronisation", "required: \(reason)"))
    }
    if let failure = status.lastError {
      facts.append(("Last error", "\(failure.time): \(failure.message)"))
    }
    return Words.facts(facts)
  }
}
