internal import Compute

/// What a machine was to be, and what is there of it.
struct MachineComparison {
  private typealias Comparison = RecoveryReport.Comparison

  private let plan: MachinePlan
  private let seen: MachineObservation?

  init(_ plan: MachinePlan, _ seen: MachineObservation?) { (self.plan, self.seen) = (plan, seen) }

  /// Why a machine does not count as running; nil if it runs.
  static func objection(_ seen: MachineObservation?) -> String? {
    guard seen?.power != .on else { return nil }
    let words =
      switch seen?.power {
      case .paused: "is halted"
      case .died: "died"
      case .off: "is off: its guest powered it down"
      case .on, nil: "is not there"
      }
    return (["The machine \(words)."] + (seen?.notes ?? [])).joined(separator: " ")
  }

  /// Everything that was asked for, in order.
  func all() -> [RecoveryReport.Comparison] {
    [
      Comparison("power", asked: "on", found: seen?.power.rawValue ?? "off"),
      Comparison("cores", asked: "\(plan.cores)", found: seen?.cores.map { "\($0)" }),
      Comparison(
        "memory", asked: "\(plan.memory >> 20) MiB", found: seen?.memory.map { "\($0 >> 20) MiB" }),
      Comparison("firmware", asked: plan.firmware.rawValue, found: seen?.firmware?.rawValue),
      disks(),
    ] + plan.adapters.indices.flatMap(adapter)
  }

  private func disks() -> RecoveryReport.Comparison {
    let found = seen.map { seen in
      seen.disks.map { disk in
        let name = plan.disks.first { $0.path == disk.path }?.name ?? disk.path
        return name + (disk.isSystem ? " (boots)" : "")
      }
    }
    let asked = plan.disks.map { $0.name + ($0.isSystem ? " (boots)" : "") }
    return Comparison(
      "order of disks", asked: asked.joined(separator: ", "),
      found: found?.joined(separator: ", "))
  }

  private func adapter(_ index: Int) -> [RecoveryReport.Comparison] {
    let asked = plan.adapters[index]
    let found = seen.flatMap { $0.adapters.indices.contains(index) ? $0.adapters[index] : nil }
    let title = "address of adapter \(index)"
    let wanted = asked.address.map { "\($0)" }
    let (words, address): (String, String?) =
      switch found?.address {
      case .used(let address): ("\(address), used", "\(address)")
      case .leased(let address): ("\(address), leased", "\(address)")
      case .notSeen: ("not seen", nil)
      case .notObserved, nil: (Comparison.notObserved, nil)
      }
    return [
      Comparison(
        "network of adapter \(index)", asked: asked.network.words, found: found?.network.words),
      Comparison(
        title, asked: wanted ?? "any", found: words,
        isSame: address.map { wanted == nil || $0 == wanted }),
    ]
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
