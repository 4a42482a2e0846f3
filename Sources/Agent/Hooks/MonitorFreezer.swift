internal import MachineSockets

/// Stops and continues a QEMU machine by its monitor ("QEMU QMP Reference Manual": qmp_capabilities,
/// query-status, stop, cont). Stopping also writes out what QEMU holds of the disks.
final class MonitorFreezer: Freezer {
  private let socket: String
  /// Whether somebody else had stopped the machine, who is to let it go on.
  private var isStoppedByOthers = false

  init(socket: String) { self.socket = socket }

  func isNeeded(until deadline: ContinuousClock.Instant) throws(AgentError) -> Bool {
    var monitor = try connect(until: deadline)
    isStoppedByOthers = try !monitor.status().running
    return !isStoppedByOthers
  }

  func freeze(until deadline: ContinuousClock.Instant) throws(AgentError) {
    var monitor = try connect(until: deadline)
    _ = try monitor.command("stop")
    let status = try monitor.status()
    guard !status.running else {
      throw AgentError(.hook, "The machine behind '\(socket)' was told to stop, and runs.")
    }
  }

  func thaw(until deadline: ContinuousClock.Instant) throws(AgentError) -> String? {
    guard !isStoppedByOthers else { return nil }
    var monitor = try connect(until: deadline)
    var refusal: AgentError?
    do throws(AgentError) { _ = try monitor.command("cont") } catch { refusal = error }
    let status = try monitor.status()
    if status.running { return nil }
    if status.status == "paused" {
      throw refusal
        ?? AgentError(.hook, "The machine behind '\(socket)' was told to go on, and is paused.")
    }
    // Stopped by an error or by its end: nothing that was done here.
    return "The machine behind '\(socket)' does not run: its status is '\(status.status)'."
  }

  private func connect(
    until deadline: ContinuousClock.Instant
  ) throws(AgentError) -> JSONConversation {
    try JSONConversation.monitor(socket, until: deadline)
  }
}

extension JSONConversation {
  /// Connects to a monitor.
  static func monitor(
    _ socket: String, until deadline: ContinuousClock.Instant
  ) throws(AgentError) -> JSONConversation {
    do throws(ConversationError) {
      var monitor = try JSONConversation(socket, until: deadline)
      try monitor.greet()
      return monitor
    } catch { throw AgentError(error) }
  }

  /// Whether a monitor's machine runs, and in which state it is.
  mutating func status() throws(AgentError) -> (running: Bool, status: String) {
    let answer = try command("query-status")
    guard let running = answer["running"]?.boolean, let status = answer["status"]?.text else {
      throw AgentError(.hook, "The machine's monitor does not tell whether it runs.")
    }
    return (running, String(status.prefix(100)))
  }
}
