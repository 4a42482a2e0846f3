internal import Dispatch
internal import MachineSockets
internal import Synchronization

/// Shuts a source down, on a thread of its own, while the agent goes on talking with the service.
final class SourceStop: Sendable {
  /// How it went.
  struct Outcome: Sendable {
    /// Whether the source is down.
    var isStopped: Bool
    /// In whole sentences.
    var text: String
  }

  private let result = Mutex<Outcome?>(nil)

  /// Begins at once; the hooks of `configuration` have `seconds` in all.
  init(of configuration: AgentConfiguration, within seconds: Int) {
    let deadline = ContinuousClock.now + .seconds(seconds)
    DispatchQueue.global().async { [self] in
      let outcome = Self.run(configuration, seconds, until: deadline)
      result.withLock { $0 = outcome }
    }
  }

  /// How it went; nil while it goes on.
  var outcome: Outcome? { result.withLock { $0 } }

  /// Shuts the source down. Blocks.
  static func run(
    _ configuration: AgentConfiguration, _ seconds: Int, until deadline: ContinuousClock.Instant
  ) -> Outcome {
    let hooks = configuration.shutdownHooks
    guard !hooks.isEmpty else {
      return Outcome(
        isStopped: false,
        text:
          "The agent has nothing to shut the source down with: 'tidemark agent set-hook shutdown'.")
    }
    var done: [String] = []
    for hook in hooks {
      do throws(AgentError) {
        switch hook.kind {
        case .script:
          try HookProgram.check(hook.path)
          try HookProgram(hook.path, phase: "shutdown", of: configuration, limit: seconds)
            .run(until: deadline)
          done.append("\(hook.text) has shut the source down.")
        case .monitor: done.append(try powerDown(hook.path, until: deadline))
        }
      } catch {
        return Outcome(
          isStopped: false, text: (done + [error.message]).joined(separator: " "))
      }
    }
    return Outcome(isStopped: true, text: done.joined(separator: " "))
  }

  /// Presses the power button of a QEMU machine, and waits until it is off ("QEMU QMP Reference Manual":
  /// system_powerdown, query-status). QEMU ends then, unless it was started not to.
  private static func powerDown(
    _ socket: String, until deadline: ContinuousClock.Instant
  ) throws(AgentError) -> String {
    var isAsked = false
    while true {
      do throws(AgentError) {
        var monitor = try JSONConversation.monitor(socket, until: min(deadline, .now + answer))
        let status = try monitor.status()
        if status.status == "shutdown" { return "The machine behind '\(socket)' is off." }
        if !isAsked {
          guard status.running else {
            throw AgentError(
              .hook,
              "The machine behind '\(socket)' is '\(status.status)', and does not hear its power button."
            )
          }
          _ = try monitor.command("system_powerdown")
          isAsked = true
        }
      } catch {
        // It is off if its QEMU is gone that was there a moment ago.
        guard isAsked else { throw error }
        if error.code == .missing {
          return "The machine behind '\(socket)' is off, and its QEMU ended."
        }
      }
      guard ContinuousClock.now < deadline else {
        throw AgentError(
          .hook,
          "The machine behind '\(socket)' was told to power down, and still runs."
        )
      }
      _ = DispatchSemaphore(value: 0).wait(timeout: .now() + .milliseconds(200))
    }
  }

  /// How long a monitor may take for one answer.
  private static let answer = Duration.seconds(5)
}
