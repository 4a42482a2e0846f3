internal import MachineSockets

/// Has a QEMU guest's own agent freeze the guest's file systems (qemu-ga(8), "QEMU Guest Agent Protocol
/// Reference": guest-sync-delimited, guest-fsfreeze-status, -freeze, -thaw).
///
/// The agent answers one client at a time, so nothing stays connected while the guest is frozen.
final class GuestAgentFreezer: Freezer {
  private let socket: String

  init(socket: String) { self.socket = socket }

  func isNeeded(until deadline: ContinuousClock.Instant) throws(AgentError) -> Bool {
    var agent = try connect(until: deadline)
    guard try agent.isFrozen() else { return true }
    throw AgentError(
      .hook, "The guest behind '\(socket)' is frozen already, by somebody else.")
  }

  func freeze(until deadline: ContinuousClock.Instant) throws(AgentError) {
    var agent = try connect(until: deadline)
    guard let count = try agent.command("guest-fsfreeze-freeze").number, count > 0 else {
      throw AgentError(.hook, "The guest behind '\(socket)' froze no file system.")
    }
    guard try agent.isFrozen() else {
      throw AgentError(.hook, "The guest behind '\(socket)' did not stay frozen.")
    }
  }

  func thaw(until deadline: ContinuousClock.Instant) throws(AgentError) -> String? {
    var agent = try connect(until: deadline)
    // Its own answer says how many file systems it thawed, which may fail for one; the status counts.
    _ = try? agent.command("guest-fsfreeze-thaw")
    guard try !agent.isFrozen() else {
      throw AgentError(.hook, "The guest behind '\(socket)' is still frozen.")
    }
    return nil
  }

  private func connect(
    until deadline: ContinuousClock.Instant
  ) throws(AgentError) -> JSONConversation {
    do throws(ConversationError) {
      var agent = try JSONConversation(socket, until: deadline)
      try agent.synchronise(Int64.random(in: 1...Int64(Int32.max)))
      return agent
    } catch { throw AgentError(error) }
  }
}

extension JSONConversation {
  fileprivate mutating func isFrozen() throws(AgentError) -> Bool {
    guard let status = try command("guest-fsfreeze-status").text else {
      throw AgentError(.hook, "The guest agent does not tell whether it is frozen.")
    }
    return status != "thawed"
  }
}

extension JSONConversation {
  /// Sends a command of a hook and waits for what it gives.
  mutating func command(_ name: String) throws(AgentError) -> JSONValue {
    do throws(ConversationError) { return try ask(name) } catch { throw AgentError(error) }
  }
}

extension AgentError {
  init(_ error: ConversationError) {
    self.init(error.code == .missing ? .missing : .hook, error.message)
  }
}
