internal import Dispatch
internal import FileIO

/// A freeze as the agent sees it: the guard that owns it, and what that has told so far. For one thread.
final class GuardedFreeze {
  /// How to start a guard: the program and its arguments.
  struct Command: Sendable {
    var words: [String]
    var environment: [String] = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]

    /// This program itself, even if its file was replaced meanwhile (proc(5)).
    static func own(_ directory: AgentDirectory) -> Command {
      Command(words: ["/proc/self/exe", "agent", "guard", "--state", directory.path])
    }
  }

  private var child: ChildProcess
  /// Whether the guard has ended.
  private(set) var isOver = false
  /// Whether it has told that nothing is frozen any more.
  private(set) var isThawed = false
  /// Whether writers are held.
  private(set) var isHolding = false
  /// How long writers were held, freezing and thawing included.
  private(set) var held: Duration?
  /// How long freezing took.
  private(set) var freezing: Duration?
  /// What went wrong first.
  private(set) var failure: String?
  /// What is in the way of thawing.
  private(set) var obstacle: String?
  /// What a person should know.
  private(set) var remark: String?

  /// Starts a guard.
  ///
  /// - Throws: `.hook` if it can't be started.
  init(_ command: Command, _ request: FreezeRequest) throws(AgentError) {
    do throws(IOError) {
      child = try ChildProcess(
        command.words[0], command.words, environment: command.environment, .conversation)
      try child.stream.send(encodedLine(request), until: .now + .seconds(5))
    } catch {
      throw AgentError(.hook, "The guard of a freeze can't be started. \(error)")
    }
  }

  deinit {
    // The guard goes on by itself if it has to; its exit status has to be taken all the same.
    let identifier = child.identifier
    guard child.wait(until: .now) == nil else { return }
    DispatchQueue.global().async { ChildProcess.reap(identifier) }
  }

  /// The guard's process.
  var processIdentifier: Int32 { child.identifier }

  /// Asks the guard to thaw. The answer comes as events.
  func askToThaw() { try? child.stream.send(encodedLine("thaw"), until: .now + .seconds(1)) }

  /// Takes the next event; false if none came in time. Once `isOver`, there are no more.
  @discardableResult
  func take(until deadline: ContinuousClock.Instant) -> Bool {
    guard !isOver else { return false }
    let line: [UInt8]?
    do throws(IOError) {
      line = try child.stream.line(limit: FreezeEvent.limit, until: deadline)
    } catch {
      if error.isTimeout { return false }
      line = nil
    }
    guard let line, let event: FreezeEvent = decodedLine(line) else {
      end()
      return true
    }
    take(event)
    return true
  }

  /// The stream has ended: so has the guard, or it is about to.
  private func end() {
    isOver = true
    isHolding = false
    _ = child.wait(until: .now + .seconds(2))
    if !isThawed { failure = failure ?? "The guard of the freeze ended before its work was done." }
  }

  private func take(_ event: FreezeEvent) {
    let time = event.milliseconds.map { Duration.milliseconds($0) }
    switch event.kind {
    case .frozen: (isHolding, freezing) = (true, time)
    case .failed: failure = failure ?? event.message
    case .thawing:
      isHolding = false
      failure = failure ?? event.message
    case .retrying: (obstacle, held) = (event.message, time)
    case .thawed:
      (isHolding, isThawed, obstacle) = (false, true, nil)
      (held, remark) = (time, event.message)
    }
  }
}
