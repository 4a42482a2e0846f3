internal import Bytes
public import Catalog
internal import FileIO
public import Vault

/// What protection of a machine is enabled with.
public struct ProtectionOptions: Sendable {
  /// Numbers of disks that are not replicated.
  public var excluded: Set<Int> = []
  /// Seconds between the beginnings of two cycles.
  public var cycleSeconds = 300
  /// Seconds between two app-consistent points; 0 for none.
  public var applicationSeconds = 3600
  /// Seconds of age of the newest recovery point from which on there is a warning; nil for a quarter of
  /// an hour, or three cycles if they take longer.
  public var rpoSeconds: Int?
  /// What runs on it, where the agent's word is not to count.
  public var operatingSystem: OperatingSystem?
  /// The machine's internal address; nil for the first one that its agent tells.
  public var address: String?
  /// Whether what the agent's preflight found is not to count.
  public var skipsPreflight = false
  /// The process server that it sends to; nil for the one it was assigned before, or the service.
  public var processServer: String?

  /// The usual options.
  public init() {}

  /// The RPO threshold that applies.
  public var threshold: Int { rpoSeconds ?? max(900, 3 * cycleSeconds) }
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
  /// Its internal address, as far as one is known.
  public let address: String?
  /// Its disks.
  public let disks: [Disk]
  /// Seconds between the beginnings of two cycles.
  public let cycleSeconds: Int
  /// Seconds between two app-consistent points; 0 for none.
  public let applicationSeconds: Int
  /// The RPO threshold in seconds.
  public let rpoSeconds: Int
  /// The process server that it sends to.
  public let processServer: String
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
    if let objection = NameRule.objection(to: agent.name) {
      throw Self.refusal(of: agent, objection)
    }
    let known = try inVault { () throws(VaultError) in try vault.machines() }
    guard !known.contains(where: { $0.id == agent.machine }) else {
      throw OperationError(.refused, "Protection of '\(name)' is enabled already.")
    }
    guard !known.contains(where: { $0.name.lowercased() == name.lowercased() }) else {
      throw OperationError(.refused, "There is another machine '\(name)' in the vault already.")
    }
    try Self.check(options)
    let assigned = try inCatalog { () throws(CatalogError) in
      try catalog.settings(of: agent.machine).processServer
    }
    let server = options.processServer ?? assigned ?? Self.ownServer
    try checkServer(server)
    let disks = try Self.disks(of: agent, options)
    let warnings = try Self.preflight(of: agent, options) + Self.addressWarnings(agent, options)
    let system = OperatingSystem.allCases.first { $0.name == agent.operatingSystem }
    return ProtectionPlan(
      agent: agent, operatingSystem: options.operatingSystem ?? system ?? .linux,
      address: Self.address(of: agent, options), disks: disks, cycleSeconds: options.cycleSeconds,
      applicationSeconds: options.applicationSeconds, rpoSeconds: options.threshold,
      processServer: server, warnings: warnings)
  }

  private static func refusal(of agent: AgentRecord, _ reason: String) -> OperationError {
    OperationError(.refused, "'\(agent.name)' can't be protected: \(reason).")
  }

  private static func check(_ options: ProtectionOptions) throws(OperationError) {
    try ReplicationPace.checkCycle(seconds: options.cycleSeconds)
    try ReplicationPace.checkApplication(seconds: options.applicationSeconds)
    guard (60...7 * 86400).contains(options.threshold) else {
      throw OperationError(.refused, "An RPO threshold is a minute to a week.")
    }
    if let address = options.address, InternetAddress(address) == nil {
      throw OperationError(.refused, "'\(address)' is no IP address.")
    }
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
        of: agent, "disk \(stranger) is to be excluded, and its agent tells of no such disk")
    }
    let kept = agent.disks.filter { !options.excluded.contains($0.number) }
    guard !kept.isEmpty else { throw refusal(of: agent, "all of its disks are excluded") }
    if let system, options.excluded.contains(system) {
      throw refusal(
        of: agent, "disk \(system) holds the operating system, and only data disks can be excluded")
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

  private static func address(of agent: AgentRecord, _ options: ProtectionOptions) -> String? {
    let told = agent.addresses.filter { !$0.lowercased().hasPrefix("fe80:") }
    return options.address ?? told.first { InternetAddress($0)?.isPublic == false } ?? told.first
  }

  private static func addressWarnings(
    _ agent: AgentRecord, _ options: ProtectionOptions
  ) -> [String] {
    guard let address = address(of: agent, options), let parsed = InternetAddress(address) else {
      return []
    }
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
    var settings = MachineSettings(machine: plan.agent.machine)
    (settings.cycleSeconds, settings.applicationSeconds) = (
      plan.cycleSeconds, plan.applicationSeconds
    )
    (settings.rpoSeconds, settings.address) = (plan.rpoSeconds, plan.address)
    settings.processServer = plan.processServer == Self.ownServer ? nil : plan.processServer
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
