internal import Bytes
public import Catalog
public import Compute

extension TargetProperties {
  /// What a compute provider is asked to run.
  ///
  /// - Parameters:
  ///   - disks: where each disk is, by its number; those that are missing are left out.
  ///   - directory: where what belongs to the run is kept.
  ///   - network: the one that was chosen for this run, which every adapter joins; nil for none: an adapter of a
  ///     failover joins its own then, and that of a drill nothing. An adapter without any is left out.
  ///   - isDrill: whether this is a test failover. Then an adapter that joins a bridge gets a hardware address
  ///     of its own, for the machine itself may be there too.
  /// - Returns: the plan, which a provider may still find fault with.
  public func plan(
    disks: [Int: String], in directory: String, joining network: NetworkRecord?, isDrill: Bool
  ) -> MachinePlan {
    let places = diskOrder.compactMap { number in
      disks[number].map { path in
        MachinePlan.Disk(name: "disk\(number)", path: path, isSystem: number == systemDisk)
      }
    }
    return MachinePlan(
      identifier: machine, name: name, cores: cores, memory: UInt64(memory) << 20,
      firmware: firmware == .uefi ? .uefi : .bios, disks: places,
      adapters: adapters.compactMap { plan(of: $0, joining: network, isDrill: isDrill) },
      directory: directory, isDrill: isDrill)
  }

  private func plan(
    of adapter: Adapter, joining chosen: NetworkRecord?, isDrill: Bool
  ) -> MachinePlan.Adapter? {
    let own = adapter.network
    guard let network = isDrill ? chosen : chosen ?? own else { return nil }
    let address = adapter.address.flatMap { IPv4Address($0) }
    // An address of another network means nothing in this one.
    let fits = network.addresses.map { subnet in
      address.map { subnet.objection(to: $0, hasGateway: network.hasGateway) == nil } ?? false
    }
    let new = HardwareAddress(high: machine.high, low: machine.low, adapter: adapter.number)
    let isAlone = !(isDrill && network.kind == .bridge)
    let hardware = isAlone ? adapter.hardwareAddress.flatMap { HardwareAddress($0) } : nil
    return MachinePlan.Adapter(
      network: network.place, subnet: network.addresses,
      address: fits ?? (network.name == own?.name) ? address : nil, hardware: hardware ?? new,
      forwards: (network.forwards ?? []).map { MachinePlan.Forward(guest: $0) })
  }
}

extension NetworkRecord {
  /// What an adapter is connected with there.
  var place: MachinePlan.Network {
    switch kind {
    case .isolated: .isolated
    case .user: .user
    case .bridge: .bridge(bridge ?? "")
    }
  }
}
