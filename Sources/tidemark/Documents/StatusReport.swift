internal import ControlAPI
internal import Operations
internal import Vault

/// How well a vault's machines are protected, as text and as JSON: what the vault's files tell, and, where
/// a service runs, what it knows beside that.
struct StatusReport {
  let status: VaultStatus
  let service: StatusDocument?
  /// Machines, by name.
  let machines: [Machine]

  struct Machine: Encodable {
    let name: String
    let state: String?
    let health: String?
    let reasons: [String]
    let rpoSeconds: Double?
    let rpoThresholdSeconds: Int?
    let lastContact: String?
    let newestPoint: String?
    let points: Int
    let storedBytes: UInt64
    let recovery: RecoveryDocument?
  }

  struct Document: Encodable {
    let vault: VaultReport.Document
    let health: String
    let machines: [Machine]
    let errors: [CurrentErrorDocument]?
  }

  init(_ status: VaultStatus, _ service: StatusDocument?) {
    (self.status, self.service) = (status, service)
    let told = service?.machines ?? []
    let known = status.machines.map { machine in
      Machine(machine, told.first { $0.name == machine.machine.name })
    }
    let others = told.filter { other in !known.contains { $0.name == other.name } }
    machines = (known + others.map { Machine($0) }).sorted { $0.name < $1.name }
  }

  /// The worst of the machines, the service itself and relays.
  var health: MachineStatus.Health {
    let all = machines.compactMap(\.health) + [service?.health].compactMap(\.self)
    return all.compactMap(MachineStatus.Health.init).max() ?? .healthy
  }

  var document: Document {
    Document(
      vault: VaultReport(vault: status.vault).document, health: health.rawValue,
      machines: machines, errors: service?.errors)
  }

  var text: String {
    guard !machines.isEmpty else {
      return
        ([
          "The vault '\(status.vault.description.name)' has no machines yet."
        ] + serviceReasons).joined(separator: "\n")
    }
    let hasService = service != nil
    let rows = machines.map { machine in
      [machine.name] + (hasService ? machine.serviceCells : []) + [
        machine.health ?? "-",
        machine.rpoSeconds.map { Words.time(seconds: Int64($0)) } ?? "none",
        machine.newestPoint ?? "none", String(machine.points), Words.size(machine.storedBytes),
      ]
    }
    let headings =
      ["MACHINE"] + (hasService ? ["STATE", "LAST DRILL"] : []) + [
        "HEALTH", "RPO", "NEWEST POINT", "POINTS", "STORED",
      ]
    let reasons =
      machines.flatMap { machine in machine.reasons.map { "\(machine.name): \($0)" } }
      + serviceReasons
    return ([Words.table(headings, rows)] + (reasons.isEmpty ? [] : [""] + reasons))
      .joined(separator: "\n")
  }

  /// What is wrong with the service itself and with relays.
  private var serviceReasons: [String] {
    (service?.errors ?? []).flatMap { error in
      error.impacts.filter { $0.type == "server" }.map {
        "\(HealthReport.subject(of: $0)): \($0.message)"
      }
    }
  }
}

extension StatusReport.Machine {
  /// What only a service tells: its state, and when it was last drilled with success.
  fileprivate var serviceCells: [String] {
    [
      RecoveryText.state(recovery) ?? state.map(MachineReport.words) ?? "-",
      RecoveryText.lastDrill(recovery),
    ]
  }

  /// A machine of the vault, and what a service tells of it.
  fileprivate init(_ status: MachineStatus, _ told: MachineDocument?) {
    var (health, reasons) = (status.health, status.reasons)
    if let told, let other = told.health.flatMap(MachineStatus.Health.init) {
      // The service knows why there is no point yet, and all that an agent tells.
      let isJudgedHere = status.machine.problem != nil || status.rpo != nil
      health = isJudgedHere ? max(health, other) : other
      reasons =
        (isJudgedHere ? reasons : []) + (told.reasons ?? []).filter { !reasons.contains($0) }
    }
    self.init(
      name: status.machine.name, state: told?.state, health: health.rawValue, reasons: reasons,
      rpoSeconds: status.rpo.map { Double($0) / 1_000_000_000 },
      rpoThresholdSeconds: told?.rpoThresholdSeconds, lastContact: told?.lastContact,
      newestPoint: status.machine.points.last?.id, points: status.machine.points.count,
      storedBytes: status.machine.stored, recovery: told?.recovery)
  }

  /// A machine that the vault holds nothing of.
  fileprivate init(_ told: MachineDocument) {
    self.init(
      name: told.name, state: told.state, health: told.health, reasons: told.reasons ?? [],
      rpoSeconds: nil, rpoThresholdSeconds: nil, lastContact: told.lastContact, newestPoint: nil,
      points: 0, storedBytes: 0, recovery: told.recovery)
  }
}
