internal import Bytes
internal import ControlAPI
internal import Operations
internal import Vault

/// Machines, as text.
enum MachineReport {
  /// Everything that is known of one.
  static func text(_ machine: MachineDocument) -> String {
    var facts = [("Machine", machine.name), ("Id", machine.id)]
    if let state = machine.state { facts.append(("State", words(of: state))) }
    if let recovery = machine.recovery { facts += RecoveryText.facts(recovery) }
    if let power = machine.power { facts.append(("Power", PowerReport.words(power))) }
    if let health = machine.health { facts.append(("Health", health)) }
    if let system = machine.operatingSystem { facts.append(("System", system)) }
    facts += agentFacts(machine) + machine.disks.map(fact)
    facts += machine.target.map(TargetReport.facts) ?? []
    // The address is among what the agent tells, and the threshold with the RPO where there is one.
    let told = ["Address"] + (machine.rpoSeconds == nil ? [] : ["RPO threshold"])
    facts += (machine.settings.map(SettingsReport.facts) ?? []).filter { !told.contains($0.0) }
    if let doubt = machine.resynchronisation, let words = words(of: doubt) {
      facts.append(("Resynchronisation", words))
    }
    facts.append(("Recovery points", String(machine.points)))
    if let oldest = machine.oldestPoint { facts.append(("Oldest", oldest)) }
    if let newest = machine.newestPoint { facts.append(("Newest", newest)) }
    if let newest = machine.newestCrashPoint { facts.append(("Newest crash-consistent", newest)) }
    if let newest = machine.newestAppPoint { facts.append(("Newest app-consistent", newest)) }
    facts += paceFacts(machine)
    facts.append(("Stored", Words.size(machine.storedBytes)))
    if let problem = machine.problem { facts.append(("Problem", problem)) }
    facts += (machine.reasons ?? []).map { ("Error", $0) }
    return Words.facts(facts)
  }

  private static func fact(of disk: MachineDocument.Disk) -> (String, String) {
    let size = disk.size.map { ", " + Words.size($0) } ?? ""
    var words = "\(disk.source) (\(disk.format), \(disk.capture)\(size))"
    if let role = disk.role { words += ", \(role)" }
    if let replication = disk.replication {
      words += ", \(Self.words(of: replication)), boot layout \(Self.words(of: disk.bootLayout))"
    } else if disk.isExcluded == true {
      words += ", excluded"
    }
    return ("Disk \(disk.number)", words)
  }

  private static func words(of layout: BootLayoutDocument?) -> String {
    guard let layout else { return "not checked" }
    let loader = layout.bootLoader == "none" ? "no boot loader" : "boot loader \(layout.bootLoader)"
    let table = layout.partitionTable == "none" ? "no partition table" : layout.partitionTable
    let system = layout.systemPartition.map { ", EFI system partition \($0)" } ?? ""
    return "\(table), \(loader)\(system)"
  }

  private static func agentFacts(_ machine: MachineDocument) -> [(String, String)] {
    var facts: [(String, String)] = []
    if let host = machine.hostName { facts.append(("Host name", host)) }
    if let address = machine.address { facts.append(("Address", address)) }
    if let version = machine.agentVersion { facts.append(("Agent", version)) }
    if machine.hostName != nil {
      let now = machine.isConnected == true ? ", connected" : ""
      facts.append(("Last contact", (machine.lastContact ?? "never") + now))
    }
    return facts
  }

  private static func paceFacts(_ machine: MachineDocument) -> [(String, String)] {
    var facts: [(String, String)] = []
    if let rpo = machine.rpoSeconds {
      let limit = machine.rpoThresholdSeconds.map {
        " (threshold \(Words.time(seconds: Int64($0))))"
      }
      facts.append(("RPO", Words.time(seconds: Int64(rpo)) + (limit ?? "")))
    }
    if let bottleneck = machine.bottleneck { facts.append(("Time goes to", bottleneck)) }
    if let activity = machine.activity {
      facts.append(("Agent does", activity + (progress(machine).map { ": \($0)" } ?? "")))
    }
    if let failure = machine.failure { facts.append(("Last failure", failure)) }
    return facts
  }

  /// How far a cycle that runs has come.
  private static func progress(_ machine: MachineDocument) -> String? {
    guard machine.activity != "waiting", let done = machine.examinedBytes,
      let total = machine.totalBytes, total > 0
    else { return nil }
    let percent = Int(Double(done) / Double(total) * 100)
    return "\(percent) %, \(Words.size(done)) of \(Words.size(total))"
  }

  static func words(of state: String) -> String {
    switch state {
    case "initialReplication": "initial replication"
    case "resynchronisationRequired": "resynchronisation required"
    case "failedOver": "failed over"
    case "replicationStopped": "replication stopped"
    default: state
    }
  }

  /// How a machine stands with its replica; nil if all is well.
  private static func words(of doubt: ResynchronisationDocument) -> String? {
    guard doubt.state != "none" else { return nil }
    let job = doubt.job.map { ", job \($0)" } ?? ""
    let held = doubt.isHeld == true ? ", cancelled: it waits for a person" : ""
    return "\(doubt.state) since \(doubt.since ?? "?")\(job)\(held): \(doubt.reason ?? "")"
  }

  /// A row a machine; what only a service knows is shown where one told.
  static func table(_ machines: [MachineDocument]) -> String {
    guard !machines.isEmpty else { return "The vault has no machines yet." }
    guard machines.contains(where: { $0.state != nil }) else { return vaultTable(machines) }
    let rows = machines.map { machine in
      [
        machine.name, machine.operatingSystem ?? "?",
        RecoveryText.state(machine.recovery)
          ?? words(of: machine.state ?? "?")
          + (progress(machine).map { " " + $0.prefix { $0 != "," } } ?? ""),
        machine.health ?? "-", machine.rpoSeconds.map { Words.time(seconds: Int64($0)) } ?? "-",
        machine.lastContact.flatMap { $0.split(separator: ".").first.map(String.init) } ?? "-",
        String(machine.disks.count), newest(machine), Words.size(machine.storedBytes),
      ]
    }
    return Words.table(
      [
        "MACHINE", "SYSTEM", "STATE", "HEALTH", "RPO", "LAST CONTACT", "DISKS", "NEWEST POINT",
        "STORED",
      ], rows)
  }

  private static func newest(_ machine: MachineDocument) -> String {
    machine.newestPoint ?? (machine.problem == nil ? "none" : "unreadable")
  }

  private static func vaultTable(_ machines: [MachineDocument]) -> String {
    let rows = machines.map { machine in
      [
        machine.name, machine.operatingSystem ?? "?",
        machine.problem == nil ? String(machine.disks.count) : "?", String(machine.points),
        newest(machine), Words.size(machine.storedBytes),
      ]
    }
    return Words.table(["MACHINE", "SYSTEM", "DISKS", "POINTS", "NEWEST POINT", "STORED"], rows)
  }
}
