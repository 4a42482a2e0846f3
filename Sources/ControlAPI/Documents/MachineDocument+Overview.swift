internal import Bytes
internal import Catalog
internal import FileIO
public import Operations
internal import Replication
internal import Vault

extension MachineDocument {
  /// Describes a machine as its service knows it.
  public init(_ overview: MachineOverview) {
    if let summary = overview.summary {
      self.init(summary)
    } else {
      self.init(unprotected: overview)
    }
    name = overview.name
    state = overview.state.rawValue
    health = overview.health?.rawValue
    reasons = overview.reasons.isEmpty ? nil : overview.reasons
    recovery = overview.recovery.map { RecoveryDocument($0, of: overview.name) }
    rpoSeconds = overview.rpo.map { Double($0) / 1_000_000_000 }
    if let settings = overview.settings, overview.agent != nil {
      (rpoThresholdSeconds, cycleSeconds) = (settings.rpoSeconds, settings.cycleSeconds)
      (applicationSeconds, address) = (settings.applicationSeconds, settings.address)
      self.settings = SettingsDocument(settings)
      resynchronisation = overview.resynchronisation.map { ResynchronisationDocument($0) }
    }
    if let agent = overview.agent { add(agent) }
  }

  /// Describes a machine of which no service tells, and whose recovered disks, if any, are served in a directory.
  public init(unserved summary: MachineSummary, servedIn directory: String?) {
    self.init(summary)
    recovery = summary.recovery.map { standing in
      RecoveryDocument(standing, summary.recoveredFrom, servedIn: directory, of: name)
    }
  }

  /// Describes the machine of that name, with where its time goes.
  ///
  /// - Throws: `.unknown`, or `.damaged` if its MANIFEST can't be read.
  init(_ name: String, in service: VaultService) throws(OperationError) {
    let overview = try service.overview(of: name)
    self.init(overview)
    target = TargetDocument(try service.target(of: name))
    power = service.power(of: name).map { PowerDocument($0) }
    for disk in try service.disks(of: overview) {
      guard let index = disks.firstIndex(where: { $0.number == disk.number }) else { continue }
      disks[index].role = disk.isSystem ? "os" : "data"
      disks[index].replication = disk.replication.rawValue
      disks[index].bootLayout = disk.bootLayout.map { BootLayoutDocument($0) }
    }
    guard settings != nil else { return }
    let start = Timestamp(seconds: Timestamp.now().seconds - MachineHealthDocument.recentSeconds)
    let history = try service.history(of: name, since: start)
    bottleneck = MachineHealthDocument.bottleneck(of: history.samples + [history.present])
  }

  private mutating func add(_ status: AgentStatus) {
    let agent = status.agent
    (hostName, agentVersion) = (agent.hostName, agent.version)
    (lastContact, isConnected) = (agent.lastContact?.iso8601, status.isConnected)
    activity = status.report.map { String(describing: $0.activity) }
    (examinedBytes, totalBytes) = (status.report?.examined, status.report?.total)
    failure = status.report.flatMap { $0.failure.isEmpty ? nil : $0.failure }
    let replicated = Set(disks.map(\.number))
    guard state != MachineOverview.State.unprotected.rawValue else { return }
    for index in disks.indices {
      let told = agent.disks.first { $0.number == disks[index].number }
      disks[index].isExcluded = false
      disks[index].size = disks[index].size ?? told?.size
    }
    for disk in agent.disks where !replicated.contains(disk.number) {
      disks.append(Disk(disk, isExcluded: true))
    }
  }
}

extension MachineDocument.Disk {
  init(_ disk: AgentRecord.Disk, isExcluded: Bool?) {
    self.init(
      number: disk.number, source: disk.path, capture: disk.capture, format: disk.format,
      size: disk.size, isExcluded: isExcluded)
  }
}
