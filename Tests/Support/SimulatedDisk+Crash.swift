internal import Glibc
internal import Synchronization

/// How much of what was not synced a power loss takes.
public enum Loss: CaseIterable, Sendable {
  /// All of it.
  case everything
  /// Nothing: everything had been written back in time.
  case nothing
  /// Everything after some moment; the change of that moment is torn.
  case tail
  /// Each change alone is kept, lost or torn, so that later ones survive earlier ones.
  case scattered
}

extension SimulatedDisk {
  /// Loses power and starts again: what was not durable is lost in part, and no handle is valid.
  ///
  /// - Parameter loss: how much goes; nil lets the seed decide.
  public func crash(_ loss: Loss? = nil) {
    state.withLock { $0.crash(loss) }
  }
}

extension SimulatedDisk.State {
  mutating func crash(_ wanted: Loss?) {
    let loss = wanted ?? Loss.allCases[generator.number(0..<Loss.allCases.count)]
    var random = generator.branch()
    // A change with an order below `kept` survives; the one at `kept` in part.
    let orders = (pendingNames.map(\.order) + allNodes.flatMap { $0.pending.map(\.order) }).sorted()
    let kept = orders.isEmpty ? 0 : orders[random.number(0..<orders.count)]
    func survives(_ order: Int) -> Bool? {
      switch loss {
      case .everything: false
      case .nothing: true
      case .tail: order == kept ? nil : order < kept
      case .scattered: [true, false, nil][random.number(0..<3)]
      }
    }
    let nodes = allNodes
    for change in pendingNames where survives(change.order) ?? random.once(in: 2) {
      change.applyToDurable()
    }
    for node in nodes {
      for change in node.pending { tear(change, of: node, survives(change.order), &random) }
      restart(node)
    }
    pendingNames = []
    handles = [:]
    faults.isOff = false
    faults.changesUntilPowerCut = nil
  }

  /// Brings a change to the disk: whole, not at all, or (nil) some of its sectors.
  private func tear(
    _ change: PendingChange, of node: SimulatedNode, _ survives: Bool?,
    _ random: inout SeededGenerator
  ) {
    if survives == true { return change.apply(to: &node.durable) }
    if survives == nil {
      // From a few lost sectors to a few kept ones.
      let odds = random.number(2..<8)
      let mostlyKept = random.once(in: 2)
      var sectors = random.branch()
      change.apply(to: &node.durable) { sectors.once(in: odds) != mostlyKept }
    }
    // The size is stored apart from the bytes: it may have grown without them.
    if case .write(let offset, let bytes) = change.kind, random.once(in: 4) {
      node.durable.resize(to: max(node.durable.size, offset + bytes.count))
    }
  }

  private func restart(_ node: SimulatedNode) {
    node.cached = node.durable
    node.names = node.durableNames
    node.pending = []
    node.hasLostChanges = false
    node.lockHolder = nil
    node.byteLocks = []
  }

  /// A sync that fails: its changes reach the disk or not, and are forgotten either way.
  mutating func failSync(of node: SimulatedNode) {
    var random = generator.branch()
    for change in node.pending {
      tear(change, of: node, [true, false, nil][random.number(0..<3)], &random)
    }
    node.hasLostChanges = node.hasLostChanges || !node.pending.isEmpty
    node.pending = []
    guard node.isDirectory else { return }
    for change in pendingNames where change.directory === node && random.once(in: 2) {
      change.applyToDurable()
    }
    pendingNames.removeAll { $0.directory === node }
  }

  /// Makes the changes of names in `directory` durable, and those before them that they build on.
  mutating func settleNames(of directory: SimulatedNode) {
    var wanted = pendingNames.filter { $0.directory === directory }
    let moved = Set(wanted.map(\.node.inode))
    let last = wanted.last?.order ?? 0
    wanted = pendingNames.filter {
      $0.directory === directory || ($0.order < last && moved.contains($0.node.inode))
    }
    for change in wanted { change.applyToDurable() }
    let settled = Set(wanted.map(\.order))
    pendingNames.removeAll { settled.contains($0.order) }
  }
}
