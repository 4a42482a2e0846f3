internal import Bytes
internal import Catalog
internal import Replication
internal import ReplicationService
internal import Synchronization
internal import Vault

/// Telling agents in session what they are to do.
extension AgentHost {
  /// How long an order may wait for an agent that does not read.
  private static let orderTime = Duration.seconds(2)

  /// What a machine's agent is to do by now.
  func assignment(
    of machine: Identifier, _ disks: [DiskNumber]
  ) throws(OperationError) -> Assignment {
    let settings = try inCatalog { () throws(CatalogError) in try catalog.settings(of: machine) }
    let doubt = try resynchronisation(of: machine)
    let state: Assignment.State =
      switch doubt?.state {
      case _ where settings.isPaused: .paused
      case .running: .resynchronising
      case .required: .required
      case nil: .protected
      }
    return Assignment(
      state: state,
      interval: UInt32(clamping: settings.cycleSeconds),
      applicationInterval: UInt32(clamping: settings.applicationSeconds),
      bandwidth: settings.bandwidth(at: clock()), disks: disks)
  }

  /// Tells a machine's agent what it is to do by now, on the connection it has; an agent that does not
  /// read is cut off, and learns it when it connects anew. Blocks for a moment at the most.
  ///
  /// `isNow` lets a cycle begin at once.
  /// - Returns: whether there is a session.
  @discardableResult
  func order(_ machine: Identifier, isNow: Bool = false) -> Bool {
    orders.withLock { _ in
      let found = state.withLock { state -> (Connection, [DiskNumber], isNew: Bool)? in
        guard let connection = state.sessions[machine], !state.draining.contains(machine)
        else { return nil }
        let newcomer = state.newcomers[machine]
        // Nothing comes before the welcome, which may be on its way with what held a moment ago.
        if let newcomer { state.newcomers[machine] = (true, newcomer.isNow || isNow) }
        return (connection, state.disks[machine] ?? [], newcomer != nil)
      }
      guard let (connection, disks, isNew) = found else { return false }
      if !isNew { send(machine, connection, disks, isNow: isNow) }
      return true
    }
  }

  private func send(
    _ machine: Identifier, _ connection: Connection, _ disks: [DiskNumber], isNow: Bool
  ) {
    do {
      let order = Order(assignment: try assignment(of: machine, disks), isNow: isNow)
      try connection.send(order.frame(), within: Self.orderTime)
      tell(order.assignment.bandwidth, to: machine)
    } catch { connection.close() }
  }

  /// Notes what a machine's agent was told it may send.
  private func tell(_ bandwidth: UInt64, to machine: Identifier) {
    state.withLock { state in
      guard state.sessions[machine] != nil else { return }
      state.bandwidths[machine] = bandwidth
    }
  }

  /// Tells a machine's agent anew what it may send once the hours of its limit have begun or ended; for
  /// whoever looks every few seconds.
  func keepBandwidth(_ settings: MachineSettings) {
    let told = state.withLock { $0.bandwidths[settings.machine] }
    guard let told, told != settings.bandwidth(at: clock()) else { return }
    order(settings.machine)
  }

  /// Notes that an agent has its welcome, and tells it what was ordered since that was put together.
  func welcomed(_ machine: Identifier) {
    let waiting = state.withLock { $0.newcomers.removeValue(forKey: machine) }
    if let waiting, waiting.isOrdered { order(machine, isNow: waiting.isNow) }
  }
}
