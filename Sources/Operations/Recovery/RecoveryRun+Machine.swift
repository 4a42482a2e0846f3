internal import Bytes
internal import Catalog
internal import Compute
internal import FileIO
internal import Vault

/// From disks to a machine that runs, and back to what was asked for.
extension RecoveryRun {
  /// What the machine is to be, as its properties and networks say.
  func machinePlan(on served: ServedBranch?) throws(OperationError) -> MachinePlan {
    let (record, service) = (try record, try desk.service())
    let isDrill = record.drill != nil
    return try service.machinePlan(
      named: name, isDrill: isDrill, network: record.request?.network,
      disks: served?.disks.map { (Int($0.number), $0.path) } ?? [],
      directory: parts.directory(record.branch ?? machine))
  }

  /// Powers the machine up.
  func boot() throws(OperationError) {
    guard let branch = try record.branch, let served = try parts.servers.served(branch) else {
      throw OperationError(.failed, "The disks of '\(name)' are not served.")
    }
    let plan = try machinePlan(on: served)
    do throws(ComputeError) { try parts.provider.start(plan) } catch {
      throw OperationError(.failed, error.message)
    }
  }

  /// Compares what runs with what was asked for, and keeps both.
  func compare() throws(OperationError) {
    guard let branch = try record.branch, let served = try parts.servers.served(branch) else {
      throw OperationError(.failed, "The disks of '\(name)' are not served.")
    }
    var found = try compareDisks(served)
    if try record.request?.boots == true {
      let plan = try machinePlan(on: served)
      let seen: MachineObservation?
      do throws(ComputeError) { seen = try parts.provider.observe(in: plan.directory) } catch {
        throw OperationError(.failed, error.message)
      }
      found += Self.compare(plan, seen)
    }
    let comparisons = found
    try report { $0.comparisons = comparisons }
    let wrong = comparisons.filter { $0.isSame == false }
    guard wrong.isEmpty else {
      throw OperationError(
        .failed,
        wrong.map { "\($0.name) is \($0.found), and \($0.asked) was asked for." }
          .joined(separator: " "))
    }
  }

  private func compareDisks(
    _ served: ServedBranch
  ) throws(OperationError) -> [RecoveryReport.Comparison] {
    let (machine, record) = (try log, try record)
    let snapshot = try inVault { () throws(VaultError) in try machine.snapshot() }
    let point = snapshot.points.first { $0.sequence.rawValue == record.point?.cut }
    return (point?.disks ?? []).map { disk in
      let path = served.disks.first { $0.number == disk.number }?.path
      let size = path.flatMap { try? File($0, .reading).status().size }
      return RecoveryReport.Comparison(
        "disk \(disk.number)", asked: "\(disk.size) bytes",
        found: size.map { "\($0) bytes" } ?? "not there")
    }
  }

  private static func compare(
    _ plan: MachinePlan, _ seen: MachineObservation?
  ) -> [RecoveryReport.Comparison] {
    typealias Comparison = RecoveryReport.Comparison
    var found = [
      Comparison("power", asked: "on", found: seen?.power.rawValue ?? "off"),
      Comparison("cores", asked: "\(plan.cores)", found: seen?.cores.map { "\($0)" }),
      Comparison(
        "memory", asked: "\(plan.memory >> 20) MiB", found: seen?.memory.map { "\($0 >> 20) MiB" }),
      Comparison(
        "firmware", asked: plan.firmware.rawValue, found: seen?.firmware?.rawValue),
      Comparison(
        "order of disks", asked: plan.disks.map(\.path).joined(separator: ", "),
        found: seen?.disks.map(\.path).joined(separator: ", ")),
    ]
    for (index, adapter) in plan.adapters.enumerated() {
      let other = seen.flatMap { $0.adapters.indices.contains(index) ? $0.adapters[index] : nil }
      found.append(
        Comparison(
          "network of adapter \(index)", asked: adapter.network.words, found: other?.network.words))
      guard let address = adapter.address else { continue }
      found.append(
        Comparison(
          "address of adapter \(index)", asked: "\(address)", found: other?.address.seen))
    }
    return found
  }
}

extension MachinePlan.Network {
  fileprivate var words: String {
    switch self {
    case .isolated: "isolated"
    case .user: "user"
    case .bridge(let name): "bridge \(name)"
    }
  }
}

extension MachineObservation.Address {
  /// The address that was seen; nil if none was by now, or can't be.
  fileprivate var seen: String? {
    switch self {
    case .used(let address), .leased(let address): "\(address)"
    case .notSeen, .notObserved: nil
    }
  }
}
