internal import Bytes
internal import Capture
internal import FileIO
internal import Vault

/// How writers are held in one cycle, and what for.
struct CycleHold {
  /// Does it; nil if it is not worth trying.
  var hold: HookHold?
  /// For how long.
  var extent: HoldExtent
  /// Whether an app-consistent point is due.
  var isDue: Bool
  /// When the cycle began.
  var start: ContinuousClock.Instant
  /// Why the point can't be app-consistent, if that is known before.
  var objection: String?
}

/// When and how an agent holds the machine's writers.
extension AgentLoop {
  /// Thaws what an earlier run has left frozen, if the guard of that is gone, too. The note of it says what
  /// that is; where it can't be read, all hooks of the configuration are taken, if there is one.
  func thawLeftovers(_ configuration: AgentConfiguration?) {
    let freeze = FreezeNote(directory: directory)
    guard freeze.exists else { return }
    note(.warning, "Writers may be held since an earlier run of the agent: they are let go")
    let usual = configuration.map { HookPlan($0.hooks, of: $0, in: directory) }
    guard let plan = freeze.plan() ?? usual else {
      dueFailure =
        "Writers may be held, and neither 'frozen.json' nor 'agent.json' in '\(directory.path)' can be "
        + "read, which say by what. Let them go by hand ('fsfreeze -u', 'virsh domfsthaw')."
      return note(.error, dueFailure)
    }
    do throws(AgentError) {
      // A guard that lives knows by now that its agent is gone.
      let lock = try freeze.lock(patience: 15_000)
      defer { lock.release() }
      for remark in try freeze.settle(usual: plan) { note(.warning, remark) }
      note(.notice, "No writers are held any more")
    } catch {
      dueFailure = error.message
      note(.error, error.message)
      guard error.code != .locked else { return }
      // Somebody has to go on trying, for whom there is nothing else to do.
      _ = try? GuardedFreeze(guardCommand, FreezeRequest(plan: plan, isThawOnly: true))
    }
  }

  /// How to hold writers in the cycle that begins now; nil if that is not to be done.
  func holdPlan(
    _ seconds: UInt32, _ configuration: AgentConfiguration, _ disks: [DiskConfiguration],
    tick: @escaping () -> Bool
  ) -> CycleHold? {
    let isDue = isApplicationDue(seconds, configuration)
    if !configuration.hasQuietingHook || seconds == 0 { dueFailure = "" }
    let hooks = isDue ? configuration.hooks : configuration.hooks.filter(\.isEveryCycle)
    guard !hooks.isEmpty else {
      cycleFailure = ""
      return nil
    }
    var plan = CycleHold(extent: .clones, isDue: isDue, start: clock.now)
    let scanned = disks.filter { $0.capture == .scan }
    if !scanned.isEmpty {
      let isMade = hooks.contains { $0.kind == .scripts }
      let limit = Duration.seconds(configuration.freezeLimit)
      // Another scan may take a little longer.
      let isShort = (scanTime ?? .zero) < limit * 0.8
      if isMade || (isDue && isShort) {
        plan.extent = .scans
      } else if isDue, let scanTime {
        plan.objection =
          "Reading what is scanned took \(scanTime.inSeconds) seconds in the last cycle, and writers are "
          + "held for \(configuration.freezeLimit) seconds at the most: no point can be app-consistent. "
          + "Let those disks be cloned, or raise the limit with 'tidemark agent set-hook limit'."
      }
    }
    // Where there is nothing to clone, holding writers for less than the scan is of no use.
    guard plan.extent == .scans || scanned.count < disks.count else { return plan }
    plan.hold = HookHold(
      HookPlan(hooks, of: configuration, in: directory), in: directory, by: guardCommand,
      tick: tick)
    return plan
  }

  private func isApplicationDue(
    _ seconds: UInt32, _ configuration: AgentConfiguration
  ) -> Bool {
    guard seconds > 0, configuration.hasQuietingHook else { return false }
    let interval = Duration.seconds(Int(seconds))
    if nextApplication == nil, let last = lastApplication {
      let age = Timestamp.now().seconds - last.seconds
      if (0..<Int64(seconds)).contains(age) {
        nextApplication = clock.now + interval - .seconds(age)
      }
    }
    guard let next = nextApplication else { return true }
    // The interval may have become shorter.
    nextApplication = min(next, clock.now + interval)
    return clock.now >= next
  }

  /// Takes notice of how the cycle's hold went; `result` is nil if the cycle broke off.
  func settle(_ plan: CycleHold?, _ seconds: UInt32, _ result: CaptureResult?) {
    guard let plan else { return }
    if let hold = plan.hold, hold.wasTried {
      for remark in hold.remarks { note(.warning, remark) }
      status.heldMilliseconds = hold.held?.inMilliseconds
    }
    guard plan.isDue else {
      cycleFailure = plan.hold?.failure ?? cycleFailure
      if let hold = plan.hold, hold.wasTried, hold.failure == nil { cycleFailure = "" }
      return showApplicationFailure()
    }
    // The clones were of an earlier cycle: the point is due still.
    guard result?.resumed != true else { return }
    if plan.hold?.wasTried == true || result != nil { passTick(seconds, from: plan.start) }
    if let point = result?.point, point.kind == .application {
      (dueFailure, cycleFailure) = ("", "")
      lastApplication = .now()
      status.lastApplicationPoint = AgentCondition.Point(
        id: point.id, time: point.time.iso8601)
    } else if result != nil || plan.hold?.failure != nil {
      dueFailure =
        plan.hold?.failure ?? plan.objection
        ?? "Writers were not held until the disks that are scanned had been read."
      note(.warning, "The point is not app-consistent: \(dueFailure)")
    }
    showApplicationFailure()
  }

  /// The next tick counts from the one that has passed; those that were missed are not made up.
  private func passTick(_ seconds: UInt32, from start: ContinuousClock.Instant) {
    let interval = Duration.seconds(max(1, Int(seconds)))
    let base = min(nextApplication ?? start, start)
    nextApplication = base + interval * (max(0, Int((clock.now - base) / interval)) + 1)
  }

  private func showApplicationFailure() {
    let failure = applicationFailure
    guard !failure.isEmpty else { return status.applicationError = nil }
    guard status.applicationError?.message != failure else { return }
    status.applicationError = AgentCondition.Failure(time: now, message: failure)
  }

  /// Why the newest point that was due is not app-consistent, or writers were not held; empty if all is well.
  var applicationFailure: String { dueFailure.isEmpty ? cycleFailure : dueFailure }
}
