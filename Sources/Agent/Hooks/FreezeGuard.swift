internal import Dispatch
internal import FileIO
internal import Synchronization

/// The process that owns a freeze: it freezes, and whatever becomes of the agent meanwhile, it thaws.
///
/// The agent starts it for each freeze, in a session of its own, and talks to it over its standard input.
/// It thaws when it is asked to, when the agent is gone, or when the time is over; and tries again until it
/// is certain that nothing is frozen. SIGTERM and the like do not end it.
public struct FreezeGuard: ~Copyable {
  private let note: FreezeNote
  private let teller: Teller
  private var stream: ByteStream
  private var begun = ContinuousClock.now

  /// How long a guard waits for its task.
  private static let patience = Duration.seconds(10)
  /// Between two attempts to thaw: the first wait, and the longest.
  private static let pauses = (first: Duration.milliseconds(100), longest: Duration.seconds(10))

  /// Guards a freeze for the agent of this directory; `tell` is called with what nobody else may hear, on
  /// a thread that nothing waits for.
  public init(_ directory: AgentDirectory, tell: @escaping @Sendable (String) -> Void) {
    note = FreezeNote(directory: directory)
    teller = Teller(tell)
    stream = ByteStream.standardInput()
  }

  /// Does what the agent asks for. Blocks until nothing is frozen any more.
  public mutating func run() throws(AgentError) {
    ProcessSignals.ignoreEnds()
    defer { teller.finish() }
    let request: FreezeRequest? =
      try inHook { () throws(IOError) in
        try stream.line(limit: FreezeRequest.limit, until: .now + Self.patience)
      }.flatMap { decodedLine($0) }
    guard let request, request.plan.isValid else {
      throw AgentError(.refused, "Only an agent starts this, and tells it what to do.")
    }
    do throws(AgentError) {
      let lock = try note.lock(patience: request.isThawOnly ? 5000 : 200)
      defer { lock.release() }
      if request.isThawOnly {
        try settle(request.plan)
      } else {
        try guardFreeze(request.plan)
      }
    } catch {
      send(FreezeEvent(.failed, error.message))
      send(FreezeEvent(.thawed))
    }
  }

  /// - Throws: where nothing was frozen.
  private mutating func guardFreeze(_ plan: HookPlan) throws(AgentError) {
    guard !note.exists else {
      throw AgentError(.hook, "What an earlier freeze has left behind is not thawed yet.")
    }
    var runner = HookRunner(plan)
    begun = .now
    let deadline = begun + .seconds(plan.limit)
    let needed = try runner.check(until: deadline)
    var noted = plan
    noted.hooks = needed
    try note.save(noted)
    do throws(AgentError) {
      begun = .now
      try runner.freeze(needed, until: deadline)
      send(FreezeEvent(.frozen, milliseconds: elapsed))
      wait(until: deadline)
    } catch { send(FreezeEvent(.failed, error.message)) }
    try thaw(&runner)
  }

  /// Waits until the agent wants to go on, or is gone, or the time is over.
  private mutating func wait(until deadline: ContinuousClock.Instant) {
    do throws(IOError) {
      let line = try stream.line(limit: FreezeRequest.limit, until: deadline)
      if line == nil { teller.tell("The agent is gone while writers are held: they are let go.") }
      send(FreezeEvent(.thawing))
    } catch {
      let reason =
        error.isTimeout ? "The time limit for holding writers was over." : error.description
      send(FreezeEvent(.thawing, reason))
    }
  }

  private mutating func settle(_ usual: HookPlan) throws(AgentError) {
    // Somebody else was there first. What is held now is held by others.
    guard note.exists else { return send(FreezeEvent(.thawed)) }
    var runner = HookRunner(inheriting: note.plan() ?? usual)
    try thaw(&runner)
  }

  /// Thaws, until it is certain.
  private mutating func thaw(_ runner: inout HookRunner) throws(AgentError) {
    var pause = Self.pauses.first
    while let failure = runner.thaw() {
      send(FreezeEvent(.retrying, failure, milliseconds: elapsed))
      teller.tell("\(failure) It is tried again.")
      ProcessSignals.sleep(pause)
      pause = min(pause * 2, Self.pauses.longest)
    }
    try note.remove()
    let remarks = runner.remarks
    send(
      FreezeEvent(
        .thawed, remarks.isEmpty ? nil : remarks.joined(separator: " "), milliseconds: elapsed))
  }

  private var elapsed: Int { (ContinuousClock.now - begun).inMilliseconds }

  /// Tells the agent, if it is still there.
  private func send(_ event: FreezeEvent) {
    try? stream.send(encodedLine(event), until: .now + .seconds(1))
  }
}

/// Hands words to somebody who may not take them now, as a terminal that was stopped, or a log on the very
/// file system that is frozen. Nothing waits for that.
private final class Teller: Sendable {
  private let words: @Sendable (String) -> Void
  private let queue = DispatchQueue(label: "tidemark.guard.tell")
  private let work = DispatchGroup()
  private let waiting = Mutex(0)

  /// What is still to be taken; more is left out.
  private static let limit = 16

  init(_ words: @escaping @Sendable (String) -> Void) { self.words = words }

  func tell(_ text: String) {
    let hasRoom = waiting.withLock { waiting in
      guard waiting < Self.limit else { return false }
      waiting += 1
      return true
    }
    guard hasRoom else { return }
    work.enter()
    queue.async { [self] in
      words(text)
      waiting.withLock { $0 -= 1 }
      work.leave()
    }
  }

  /// Lets what was told come out, for a moment.
  func finish() { _ = work.wait(timeout: .now() + 1) }
}
