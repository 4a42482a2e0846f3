internal import Bytes
public import Catalog
internal import FileIO
public import Vault

/// What protection of a machine is enabled with.
public struct ProtectionOptions: Sendable {
  /// Numbers of disks that are not replicated.
  public var excluded: Set<Int> = []
  /// Seconds between the beginnings of two cycles; nil for what was set before, or five minutes.
  public var cycleSeconds: Int?
  /// Seconds between two app-consistent points, 0 for none; nil for what was set before, or an hour.
  public var applicationSeconds: Int?
  /// Seconds of age of the newest recovery point from which on there is a warning; nil for what was set
  /// before, or a quarter of an hour, or three cycles if they take longer.
  public var rpoSeconds: Int?
  /// What runs on it, where the agent's word is not to count.
  public var operatingSystem: OperatingSystem?
  /// The machine's internal address; nil for what was set before, or the first that its agent tells.
  public var address: String?
  /// Whether what the agent's preflight found is not to count.
  public var skipsPreflight = false
  /// The process server that it sends to; nil for the one it was assigned before, or the service.
  public var processServer: String?

  /// The usual options.
  public init() {}

  /// How a machine is replicated that is protected with these options: what nobody chose now stays as it
  /// was set before.
  func settings(
    of agent: AgentRecord, from before: MachineSettings
  ) throws(OperationError) -> MachineSettings {
    var settings = before
    settings.cycleSeconds = cycleSeconds ?? before.cycleSeconds
    settings.applicationSeconds = applicationSeconds ?? before.applicationSeconds
    try ReplicationPace.checkCycle(seconds: settings.cycleSeconds)
    try ReplicationPace.checkApplication(seconds: settings.applicationSeconds)
    let usual = MachineSettings(machine: before.machine).rpoSeconds
    let isSet = before.rpoSeconds != usual
    settings.rpoSeconds =
      rpoSeconds ?? (isSet ? before.rpoSeconds : max(usual, 3 * settings.cycleSeconds))
    try ReplicationPace.checkThreshold(seconds: settings.rpoSeconds)
    if let address { try InternetAddress.check(address) }
    let told = agent.addresses.filter { !$0.lowercased().hasPrefix("fe80:") }
    settings.address =
      address ?? before.address ?? told.first { InternetAddress($0)?.isPublic == false }
      ?? told.first
    if let processServer {
      settings.processServer = processServer == VaultService.ownServer ? nil : processServer
    }
    settings.isPaused = false
    return settings
  }
}

/// What applies to a machine once its protection is enabled.
public struct ProtectionPlan: Sendable {
  /// A disk of the machine.
  public struct Disk: Sendable {
    /// What the agent tells of it.
    public let disk: AgentRecord.Disk
    /// Whether it is not replicated.
    public let isExcluded: Bool
    /// Whether it holds the operating system.
    public let isSystem: Bool
  }

  /// The machine.
  public let agent: AgentRecord
  /// What runs on it.
  public let operatingSystem: OperatingSystem
  /// Its disks.
  public let disks: [Disk]
  /// How it is replicated, with what was set for it before.
  public let settings: MachineSettings
  /// What speaks against it, and is no reason to refuse it; in sentences.
  public let warnings: [String]

  /// What is said of an address that is reached from everywhere.
  public static let publicAddress =
    "use the internal address; replication may not work as expected"
}

extension VaultService {
  /// What would apply if a machine's protection was enabled with these options. Changes nothing.
  ///
  /// - Throws: `.unknown`, or `.refused` with what forbids it.
  public func plan(
    _ name: String, _ options: ProtectionOptions
  ) throws(OperationError) -> ProtectionPlan {
    let agent = try agent(named: name)
    try refuseInRecovery(.enable, name)
    guard agent.revoked == nil else {
      throw Self.refusal(
        of: agent,
        "its certificates were revoked; make a key with 'tidemark key create --machine \(name)', and "
          + "let it enrol anew with 'tidemark agent enrol --again'")
    }
    if let objection = NameRule.objection(to: agent.name) {
      throw Self.refusal(
        of: agent,
        "\(objection); revoke it with 'tidemark machine revoke' and let it enrol anew under another "
          + "name, with 'tidemark agent enrol --again --name'")
    }
    let known = try inVault { () throws(VaultError) in try vault.machines() }
    guard !known.contains(where: { $0.id == agent.machine }) else {
      throw OperationError(
        .refused,
        "Protection of '\(name)' is enabled already. 'tidemark machine set \(name)' changes how it is "
          + "replicated; to choose other disks, end it first with 'tidemark machine disable \(name)', "
          + "which removes its recovery points.")
    }
    if let other = known.map(\.name).first(where: { $0.lowercased() == name.lowercased() }) {
      throw OperationError(
        .refused,
        "There is another machine '\(other)' in the vault already. Remove that one with 'tidemark machine "
          + "remove \(other)', or revoke this one and let it enrol anew under another name, with 'tidemark "
          + "agent enrol --again --name'.")
    }
    try refuseWithoutTarget(name)
    let before = try inCatalog { () throws(CatalogError) in
      try catalog.settings(of: agent.machine)
    }
    let settings = try options.settings(of: agent, from: before)
    try checkServer(settings.processServer ?? Self.ownServer)
    let disks = try Self.disks(of: agent, options)
    let warnings =
      try Self.preflight(of: agent, options)
      + (settings.address.map { Self.warnings(of: $0, agent) } ?? [])
    let system = OperatingSystem.allCases.first { $0.name == agent.operatingSystem }
    return ProtectionPlan(
      agent: agent, operatingSystem: options.operatingSystem ?? system ?? .linux, disks: disks,
      settings: settings, warnings: warnings)
  }

  private static func refusal(of agent: AgentRecord, _ reason: String) -> OperationError {
    OperationError(.refused, "'\(agent.name)' can't be protected: \(reason).")
  }

  private static func disks(
    of agent: AgentRecord, _ options: ProtectionOptions
  ) throws(OperationError) -> [ProtectionPlan.Disk] {
    guard !agent.disks.isEmpty else {
      throw OperationError(
        .refused,
        "The agent of '\(agent.name)' has told of no disk to replicate. Add one there with 'tidemark "
          + "agent add-disk', let 'tidemark agent run' connect once, and try again.")
    }
    let (system, numbers) = (DiskLimits.system(of: agent.disks), agent.disks.map(\.number))
    if let stranger = options.excluded.sorted().first(where: { !numbers.contains($0) }) {
      throw refusal(
        of: agent,
        "disk \(stranger) is to be excluded, and its agent tells of no such disk, only of "
          + "\(numbers.sorted().map(String.init).joined(separator: ", ")); 'tidemark machine refresh "
          + "\(agent.name)' asks it anew")
    }
    let kept = agent.disks.filter { !options.excluded.contains($0.number) }
    guard !kept.isEmpty else {
      throw refusal(
        of: agent, "all of its disks are excluded; the one with the system can't be left out")
    }
    if let system, options.excluded.contains(system) {
      throw refusal(
        of: agent,
        "disk \(system) holds the operating system, and only data disks can be excluded; try again "
          + "without --exclude \(system)")
    }
    if let objection = DiskLimits.objection(to: kept, system: system) {
      throw refusal(of: agent, objection)
    }
    return agent.disks.map { disk in
      ProtectionPlan.Disk(
        disk: disk, isExcluded: options.excluded.contains(disk.number),
        isSystem: disk.number == system)
    }
  }

  /// Refuses what the agent's own preflight found to fail; gives its warnings.
  private static func preflight(
    of agent: AgentRecord, _ options: ProtectionOptions
  ) throws(OperationError) -> [String] {
    let excluded = Set(options.excluded.map { "disk \($0)" })
    let findings = agent.findings.filter { !excluded.contains($0.subject) }
    let failures = findings.filter { $0.verdict == AgentRecord.Finding.refused }
    guard failures.isEmpty || options.skipsPreflight else {
      throw OperationError(
        .refused,
        "The preflight of '\(agent.name)' failed: "
          + failures.map(\.sentence).joined(separator: " ")
          + " Mend that and try again, or enable it all the same with --skip-preflight.")
    }
    return findings.filter { $0.verdict != AgentRecord.Finding.ok }.map {
      "Preflight: \($0.sentence)"
    }
  }

  /// What speaks against an address for a machine, and is no reason to refuse it; in sentences.
  static func warnings(of address: String, _ agent: AgentRecord) -> [String] {
    guard let parsed = InternetAddress(address) else { return [] }
    var warnings: [String] = []
    if parsed.isPublic {
      warnings.append("\(address) is a public address: \(ProtectionPlan.publicAddress)")
    }
    if !agent.addresses.contains(where: { InternetAddress($0) == parsed }) {
      warnings.append(
        "\(address) is none of the addresses that the agent tells: "
          + agent.addresses.joined(separator: ", "))
    }
    return warnings
  }
}

extension VaultService {
  /// Starts the job that protects a machine: from its agent's next contact on, a cycle at each interval.
  /// Another job, *Finalize protection*, then follows the first replication to its recovery point.
  ///
  /// - Throws: at once what is refused: `.unknown`, `.refused`.
  public func enable(
    _ name: String, _ options: ProtectionOptions
  ) throws(OperationError) -> JobRecord {
    _ = try plan(name, options)
    return try jobs.start(
      "Enable protection", machine: name,
      tasks: ["Prerequisites check", "Add to the vault", "Start of the initial replication"]
    ) { [self] job throws(OperationError) in
      let plan = try job.task("Prerequisites check") {
        () throws(OperationError) -> ProtectionPlan in try self.plan(name, options)
      }
      try job.task("Add to the vault") { () throws(OperationError) in try add(plan) }
      for warning in plan.warnings {
        note(.warning, "protection-warning", machine: name, warning)
      }
      try job.task("Start of the initial replication") { () throws(OperationError) in
        _ = try jobs.open(
          FinalizeProtection.kind, machine: name,
          tasks: [FinalizeProtection.contact, FinalizeProtection.copy, FinalizeProtection.point])
      }
      note(.info, "protection-enabled", machine: name, "Protection of '\(name)' was enabled.")
    }
  }

  private func add(_ plan: ProtectionPlan) throws(OperationError) {
    var settings = plan.settings
    settings.enabled = .now()
    let kept = settings
    let disks = plan.disks.filter { !$0.isExcluded }.map { planned in
      DiskConfiguration(
        number: DiskNumber(truncatingIfNeeded: planned.disk.number), path: planned.disk.path,
        capture: CaptureMode.allCases.first { $0.name == planned.disk.capture } ?? .scan,
        format: SourceFormat.allCases.first { $0.name == planned.disk.format } ?? .raw)
    }
    let configuration = MachineConfiguration(
      name: plan.agent.name, operatingSystem: plan.operatingSystem, disks: disks)
    try inCatalog { () throws(CatalogError) in try catalog.set(kept) }
    try writable.changingList { () throws(OperationError) in
      _ = try inVault { () throws(VaultError) in
        try vault.addMachine(configuration, id: plan.agent.machine, lock: writable.lock)
      }
    }
  }
}
