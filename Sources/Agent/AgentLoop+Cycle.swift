internal import Bytes
internal import Capture
internal import Replication
internal import ReplicationService
internal import Vault

/// One cycle of an agent.
extension AgentLoop {
  /// Runs a cycle; gives whether the session can go on.
  ///
  /// After a cycle that broke off it can't: what the target has encoded and not sent is lost, and only a
  /// new welcome tells where the log goes on.
  func runCycle(
    _ session: ServiceSession, _ target: RemoteTarget, _ configuration: AgentConfiguration
  ) throws(AgentError) -> Bool {
    let start = clock.now
    let assignment = session.assignment
    session.beginCycle()
    nextCycle = start + .seconds(max(1, Int(assignment.interval)))
    let disks = configuration.disks.filter { assignment.disks.contains($0.number) }
    guard !disks.isEmpty else {
      try fail("No disk is to be replicated. Add one with 'tidemark agent add-disk PATH'.", session)
      return true
    }
    guard let notes = try prepare(disks, session, target, configuration) else { return true }
    let watch = CycleWatch(
      self, session, target, configuration, activity(assignment, target))
    watch.begin()
    let hold = holdPlan(
      assignment.applicationInterval, configuration, disks, tick: { watch.wait() })
    let result: CaptureResult
    do throws(CaptureError) {
      var options = Self.options(assignment)
      options.holdExtent = hold?.extent ?? .clones
      result = try CaptureCycle(
        machine: configuration.machine, disks: disks, options: options, hold: hold?.hold,
        progress: { watch.look($0) }, cancelled: { watch.isOver }
      ).run(with: target)
    } catch {
      settle(hold, assignment.applicationInterval, nil)
      try settle(error, session, watch)
      return false
    }
    try directory.save(notes)
    settle(hold, assignment.applicationInterval, result)
    try finish(result, hold?.hold, session, watch)
    // A tick that was missed is not made up. What a broken cycle had left is done; now the present.
    let interval = Duration.seconds(max(1, Int(session.assignment.interval)))
    let missed = max(0, Int((clock.now - start) / interval))
    nextCycle = result.resumed ? nil : start + interval * (missed + 1)
    return true
  }

  private static func options(_ assignment: Assignment) -> CaptureOptions {
    var options = CaptureOptions()
    if assignment.state == .resynchronising {
      options.acceptSize = true
    } else {
      options.changeLimitPercent = changeLimitPercent
    }
    return options
  }

  /// More than this of a cloned disk does not change from one cycle to the next unless the disk was put
  /// back or written anew; the original draws its line there too.
  private static let changeLimitPercent = 50

  private func activity(_ assignment: Assignment, _ target: RemoteTarget) -> Report.Activity {
    if assignment.state == .resynchronising { return .resynchronising }
    return target.cycle == nil ? .copying : .cycling
  }

  private func finish(
    _ result: CaptureResult, _ hold: HookHold?, _ session: ServiceSession, _ watch: CycleWatch
  ) throws(AgentError) {
    failure = ""
    recovered()
    noteDurable(of: session)
    status.lastPoint = AgentCondition.Point(id: result.point.id, time: result.point.time.iso8601)
    let changed = result.disks.reduce(0) { $0 + $1.changed }
    scanTime = result.disks.contains { $0.mode == .scan } ? result.scanTime : nil
    var facts = [
      "point": result.point.id, "changed": "\(changed)", "stored": "\(result.stored)",
      "seconds": "\(result.elapsed.inSeconds)", "resumed": "\(result.resumed)",
    ]
    let stall = result.disks.compactMap(\.cloneTime).reduce(.zero, +)
    status.stallMilliseconds = stall.inMilliseconds
    facts["stall"] = "\(stall.inMilliseconds) ms"
    facts["held"] = hold?.held.map { "\($0.inMilliseconds) ms" }
    note(.info, "Made a recovery point", facts)
    for advice in result.advice { note(.warning, advice) }
    try session.report(watch.report(.waiting))
  }

  /// Decides what follows from a cycle that broke off.
  private func settle(
    _ error: CaptureError, _ session: ServiceSession, _ watch: CycleWatch
  ) throws(AgentError) {
    if cancellation.isCancelled {
      throw AgentError(.cancelled, "The agent was told to stop.")
    }
    if error.code == .session || watch.failure != nil {
      nextCycle = nil
      let reason = session.failure ?? watch.failure ?? AgentError(.link, error.message)
      failure = reason.message
      throw reason
    }
    if error.code == .cancelled {
      // Told to wait; what was stored stays, and the next cycle goes on from there.
      nextCycle = nil
      return
    }
    if let reason = Self.reason(error.code) {
      let disk = session.assignment.disks.first ?? 0
      try raise(Doubt([Doubt.Finding(reason, disk: disk, error.message)]), session)
    }
    try fail(error.message, session)
  }

  private static func reason(_ code: CaptureError.Code) -> Doubt.Reason? {
    switch code {
    case .sizeChanged: .size
    case .rewritten: .rewritten
    case .reverted: .reverted
    default: nil
    }
  }

  func fail(_ message: String, _ session: ServiceSession) throws(AgentError) {
    failure = message
    status.lastError = AgentCondition.Failure(time: now, message: message)
    note(.error, message)
    try session.report(report(.waiting))
  }
}

/// Looks after the session while a cycle runs: reports, signs of life, and orders to stop.
final class CycleWatch {
  private let loop: AgentLoop
  private let session: ServiceSession
  private let target: RemoteTarget
  private let configuration: AgentConfiguration
  private let activity: Report.Activity
  private let state: Assignment.State
  private var assignment: Assignment
  private let before: (waited: Duration, compressing: Duration, digests: UInt64)
  private var next: ContinuousClock.Instant?
  /// How far the cycle has come.
  private var last: CaptureProgress?
  /// What was found of each disk that the cycle has come to.
  private var disks: [Report.Disk] = []
  /// What was found of the disks before the present one.
  private var earlier: (examined: UInt64, changed: UInt64) = (0, 0)
  /// What ended the session.
  private(set) var failure: AgentError?

  init(
    _ loop: AgentLoop, _ session: ServiceSession, _ target: RemoteTarget,
    _ configuration: AgentConfiguration, _ activity: Report.Activity
  ) {
    self.configuration = configuration
    (self.loop, self.session, self.target, self.activity) = (loop, session, target, activity)
    (assignment, state) = (session.assignment, session.assignment.state)
    before = (session.waited, target.compressing, session.digestBytes)
  }

  /// How the cycle is doing, and where its time went.
  func report(_ activity: Report.Activity) -> Report {
    var report = loop.report(activity)
    if let last {
      (report.examined, report.total, report.changed) = (last.examined, last.total, last.changed)
      report.reading = last.reading.nanoseconds
    }
    report.compressing = (target.compressing - before.compressing).nanoseconds
    report.sending = (session.waited - before.waited).nanoseconds
    report.disks = disks
    report.digests = digests
    return report
  }

  /// Bytes of digests that the cycle has asked for.
  private var digests: UInt64 { session.digestBytes - before.digests }

  /// Whether the cycle is to stop at the next good place: somebody wants that, or another one.
  var isOver: Bool {
    if failure != nil || loop.cancellation.isCancelled { return true }
    return session.assignment.state != state || session.assignment.disks != assignment.disks
  }

  /// Tells that the cycle begins.
  func begin() { tell() }

  /// Looks after the session while the cycle waits for something else; whether it is to go on.
  func wait() -> Bool {
    if next.map({ loop.clock.now >= $0 }) ?? true { tell() }
    return !isOver
  }

  /// Takes notice of the progress.
  func look(_ progress: CaptureProgress) {
    count(progress)
    last = progress
    // The last one tells all that was found.
    if let next, loop.clock.now < next, progress.examined < progress.total { return }
    tell()
  }

  private func count(_ progress: CaptureProgress) {
    if disks.last?.number != progress.disk {
      earlier = (last?.examined ?? 0, last?.changed ?? 0)
      disks.append(Report.Disk(number: progress.disk, examined: 0, changed: 0))
    }
    disks[disks.count - 1].examined = progress.examined - min(progress.examined, earlier.examined)
    disks[disks.count - 1].changed = progress.changed - min(progress.changed, earlier.changed)
  }

  private func tell() {
    next = loop.clock.now + loop.pace.report
    loop.status.progress = last.map {
      AgentCondition.Progress(
        examinedBytes: $0.examined, totalBytes: $0.total, changedBytes: $0.changed,
        digestBytes: digests)
    }
    do throws(AgentError) {
      try session.report(report(activity))
      try session.keepAlive()
      try loop.attendShutdown(session, configuration)
      // A first copy may take longer than what is left of the certificate's life.
      loop.renewIfDue()
    } catch { failure = error }
    if session.assignment != assignment, !isOver {
      assignment = session.assignment
      loop.obey(assignment)
    }
    loop.status.lastContact = session.lastContact.iso8601
    loop.noteDurable(of: session)
    loop.show(activity.state)
  }
}

extension Report.Activity {
  fileprivate var state: AgentCondition.State {
    switch self {
    case .waiting: .waiting
    case .copying: .copying
    case .cycling: .cycling
    case .resynchronising: .resynchronising
    }
  }
}

extension Duration {
  /// Whole nanoseconds; 0 for what is less than nothing.
  fileprivate var nanoseconds: UInt64 {
    let (seconds, attoseconds) = components
    guard seconds >= 0, attoseconds >= 0 else { return 0 }
    return UInt64(seconds) &* 1_000_000_000 &+ UInt64(attoseconds / 1_000_000_000)
  }

  /// Whole milliseconds.
  var inMilliseconds: Int {
    Int(components.seconds) * 1000 + Int(components.attoseconds / 1_000_000_000_000_000)
  }

  /// Seconds, to the millisecond.
  var inSeconds: Double {
    let (seconds, attoseconds) = components
    return Double(seconds) + (Double(attoseconds) / 1e15).rounded() / 1000
  }
}
