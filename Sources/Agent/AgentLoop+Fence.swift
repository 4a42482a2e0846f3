internal import Bytes

/// What an agent does whose machine has failed over: nothing more, but for telling why.
extension AgentLoop {
  /// How long the fence hook may take.
  private static let fenceSeconds = 60

  /// Takes over whether the machine was fenced, for `agent status`.
  func recallFence(_ configuration: AgentConfiguration) throws(AgentError) {
    show(try directory.epochNote(of: configuration.machine))
  }

  /// Notes the epoch that the service has welcomed the machine in, before anything of it is sent. A machine
  /// that was fenced is not any more: only the service decides that.
  func welcomed(in epoch: UInt32, _ configuration: AgentConfiguration) throws(AgentError) {
    let known = try directory.epochNote(of: configuration.machine)
    var note = EpochNote(machine: configuration.machine.description)
    note.epoch = epoch
    guard note != known else { return }
    try directory.save(note)
    if known.fenced != nil {
      self.note(.notice, "The service takes this machine again, which was fenced")
    }
    show(note)
  }

  /// Notes that the service has refused the machine because it has failed over, and runs the fence hook, once
  /// unless that fails.
  ///
  /// - Throws: `.state` if that could not be noted; the hook was run then.
  func fence(because reason: String) throws(AgentError) {
    let configuration = try directory.configuration()
    var note = try directory.epochNote(of: configuration.machine)
    var unkept: AgentError?
    if note.fenced == nil {
      note.fenced = AgentCondition.Failure(time: now, message: reason)
      unkept = failure(toSave: note)
      self.note(
        .error, "This machine is fenced: it replicates nothing any more", ["why": reason])
    }
    show(note)
    if note.hook == nil || note.hasHookFailed == true, let hook = configuration.fence {
      note.hook = AgentCondition.Failure(time: now, message: "\(hook.text) was begun.")
      note.hasHookFailed = nil
      unkept = failure(toSave: note)
      do throws(AgentError) {
        try HookProgram.check(hook.path)
        try HookProgram(hook.path, phase: "fence", of: configuration, limit: Self.fenceSeconds)
          .run(until: .now + .seconds(Self.fenceSeconds))
        note.hook?.message = "\(hook.text) was run."
      } catch {
        note.hook?.message = error.message
        note.hasHookFailed = true
      }
      self.note(.warning, "The fence hook", ["how": note.hook?.message ?? ""])
      unkept = failure(toSave: note)
      show(note)
    }
    if let unkept { throw unkept }
  }

  private func failure(toSave note: EpochNote) -> AgentError? {
    do throws(AgentError) {
      try directory.save(note)
      return nil
    } catch { return error }
  }

  /// Notes that nothing runs in this machine's place: the failover was cancelled that it was fenced for.
  func endFence() throws(AgentError) {
    var note = try directory.epochNote(of: try directory.configuration().machine)
    guard note.fenced != nil || note.hook != nil else { return }
    (note.fenced, note.hook, note.hasHookFailed) = (nil, nil, nil)
    try directory.save(note)
    self.note(.notice, "This machine is not fenced any more: its failover was cancelled")
    show(note)
  }

  private func show(_ note: EpochNote) {
    (status.fenced, status.fenceHook) = (note.fenced, note.hook)
    if note.fenced != nil { show(.fenced) }
  }
}
