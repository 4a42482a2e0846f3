internal import Bytes
internal import Catalog
internal import Compute
internal import FileIO
internal import FoundationEssentials
internal import Vault

extension VaultService {
  /// What a machine is to be once it is recovered.
  ///
  /// - Throws: `.unknown`.
  public func target(of name: String) throws(OperationError) -> TargetProperties {
    let (machine, agent, disks) = try targeted(name)
    let chosen = try inCatalog { () throws(CatalogError) in try catalog.target(of: machine) }
    return TargetProperties(
      chosen, name: name, agent: agent, disks: disks, networks: try knownNetworks())
  }

  /// Changes what a machine is to be.
  ///
  /// - Throws: `.unknown`, or `.refused` for what it can't be: nothing is changed then.
  public func changeTarget(
    of name: String, _ changes: TargetChanges
  ) throws(OperationError) -> TargetProperties {
    let (machine, _, disks) = try targeted(name)
    try changingTargets { () throws(OperationError) in
      let targets = try inCatalog { () throws(CatalogError) in try catalog.targets() }
      var target =
        targets.first { $0.machine == machine } ?? TargetRecord(machine: machine)
      try changes.apply(to: &target, disks: disks)
      try check(target, besides: targets.filter { $0.machine != machine })
      let changed = target
      try inCatalog { () throws(CatalogError) in try catalog.set(changed) }
    }
    note(
      .info, "target-changed", machine: name,
      "What '\(name)' is to be when it is recovered was changed.")
    return try target(of: name)
  }

  /// A machine that can be recovered some day: its agent, if it has one, and its disks.
  private func targeted(
    _ name: String
  ) throws(OperationError) -> (Identifier, AgentRecord?, disks: [Int]) {
    let agent = try agents().first { $0.name == name }
    let machines = try inVault { () throws(VaultError) in try vault.machines() }
    guard let id = agent?.machine ?? machines.first(where: { $0.name == name })?.id else {
      // In the words for a machine that is not known at all.
      throw OperationError(
        .unknown, "There is no machine '\(name)'; 'tidemark machine list' shows them.")
    }
    let summary = machines.first { $0.id == id }.map { MachineSummary($0) }
    if let problem = summary?.problem { throw problem }
    let kept = summary?.configuration?.disks.map { Int($0.number) }
    return (id, agent, (kept ?? agent?.disks.map(\.number) ?? []).sorted())
  }

  /// - Throws: `.unknown` for a network that is not there, `.refused` for an address that can't be had.
  private func check(
    _ target: TargetRecord, besides others: [TargetRecord]
  ) throws(OperationError) {
    let networks = try knownNetworks()
    for adapter in target.adapters {
      try checkHardware(of: adapter, in: target, besides: others)
      guard let name = adapter.network else {
        guard adapter.address == nil else {
          throw OperationError(
            .refused,
            "Adapter \(adapter.number) has no network to have an address in: choose one with --network "
              + "\(adapter.number)=NAME.")
        }
        continue
      }
      guard let network = networks.first(where: { $0.name == name }) else {
        throw Self.unknownNetwork(name)
      }
      guard let address = adapter.address.flatMap({ IPv4Address($0) }) else { continue }
      try Self.check(address, in: network)
      for other in others + [target] {
        guard let holder = other.holder(of: adapter, than: target) else { continue }
        let owner = try self.name(of: other.machine) ?? other.machine.description
        throw OperationError(
          .refused,
          "\(address) is that of adapter \(holder) of '\(owner)' in the network '\(name)' already.")
      }
    }
  }

  /// - Throws: `.refused` for a hardware address that another adapter of the machine has, or of the network.
  private func checkHardware(
    of adapter: TargetRecord.Adapter, in target: TargetRecord, besides others: [TargetRecord]
  ) throws(OperationError) {
    guard let hardware = adapter.hardwareAddress else { return }
    for other in others + [target] {
      let holder = other.adapters.first { own in
        guard own.hardwareAddress == hardware else { return false }
        return other.machine == target.machine
          ? own.number != adapter.number
          : own.network != nil && own.network == adapter.network
      }
      guard let holder else { continue }
      let owner = try name(of: other.machine) ?? other.machine.description
      throw OperationError(
        .refused, "\(hardware) is that of adapter \(holder.number) of '\(owner)' already.")
    }
  }

  private static func check(
    _ address: IPv4Address, in network: NetworkRecord
  ) throws(OperationError) {
    let objection = network.addresses?.objection(to: address, hasGateway: network.hasGateway)
    guard let objection else { return }
    throw OperationError(
      .refused,
      "\(objection), which the network '\(network.name)' has: choose another, or 'dhcp' for any that is "
        + "free, with --target-address.")
  }
}

extension TargetRecord {
  /// The number of the adapter that has the network and address of one of `other` already; nil if none has.
  fileprivate func holder(of adapter: Adapter, than other: TargetRecord) -> Int? {
    adapters.first { own in
      own.network == adapter.network && own.address == adapter.address
        && (machine != other.machine || own.number != adapter.number)
    }?.number
  }
}

extension TargetProperties {
  /// What speaks against it on a host with so many processors and MiB of memory, and is no reason to refuse
  /// it; in sentences.
  func warnings(hostCores: Int, hostMemory: Int) -> [String] {
    var warnings: [String] = []
    if cores > hostCores {
      warnings.append("\(cores) cores are more than the \(hostCores) that this host has.")
    }
    if memory > hostMemory {
      warnings.append("\(memory) MiB of memory are more than the \(hostMemory) that this host has.")
    }
    for adapter in adapters where adapter.network == nil {
      warnings.append(
        "Adapter \(adapter.number) has no network yet: 'tidemark machine set \(machineName) --network "
          + "\(adapter.number)=NAME', or choose one at the failover.")
    }
    return warnings
  }

  /// What speaks against it on this host, and is no reason to refuse it; in sentences.
  public var warnings: [String] {
    let process = ProcessInfo.processInfo
    return warnings(
      hostCores: process.activeProcessorCount, hostMemory: Int(process.physicalMemory >> 20))
  }
}
