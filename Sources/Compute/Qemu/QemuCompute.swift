internal import Bytes
internal import FileIO
internal import MachineSockets

/// Runs machines in QEMU on this host, each in a process that outlives this one.
///
/// A process is found again by what QEMU keeps in the directory of the run (`QemuFiles`): its number, which is
/// believed only of a process that was started for this very directory, and the socket of its monitor. It has
/// a session of its own and no descriptors of this process.
///
/// *Isolated* networks are QEMU's own user network with `restrict=on`: a DHCP server with one address to give
/// and nothing behind it. That needs no privileges and leaves nothing on the host. A copy of each frame goes
/// to a ring of 64 KiB in QEMU's memory, from which the address is read back that the machine was given, and
/// the one that it uses; the ring can't fill a disk, and forgets old frames, not new ones.
public struct QemuCompute: ComputeProvider {
  /// Where the program is looked for.
  private static let places = [
    "/usr/bin/qemu-system-x86_64", "/usr/local/bin/qemu-system-x86_64", "/usr/libexec/qemu-kvm",
  ]
  /// The variables of programs that are started here.
  static let environment = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
  /// How long a process that is killed, or told to quit, is waited for.
  static let patience = Duration.seconds(10)

  /// The program to run; nil if none is installed.
  let program: String?
  /// Where what outlives the host's run is kept; nil for the directory of the run.
  private let base: String?

  /// Builds the provider.
  ///
  /// - Parameters:
  ///   - program: the program to run instead of the one that is installed.
  ///   - base: the directory, made when it is needed, that keeps of each machine what a restart of the host must
  ///     leave: its plan, its console log (8 MiB at the most), what UEFI keeps, and whether it is to run. Without
  ///     one all that lies in the directory of the run.
  public init(program: String? = nil, keepingIn base: String? = nil) {
    self.program = program ?? Self.places.first { FileSystem.system.exists($0) }
    self.base = base
  }

  private func files(_ directory: String) -> QemuFiles { QemuFiles(directory, keptIn: base) }

  /// `qemu`.
  public var kind: ComputeKind { .qemu }

  /// What this host lacks.
  public func check(_ plan: MachinePlan?) -> [ComputeFinding] {
    QemuCheck(program, plan).findings()
  }

  /// Starts a process whose machine is halted, waits until its monitor answers, and has it go on.
  public func start(_ plan: MachinePlan) throws(ComputeError) {
    let files = files(plan.directory)
    if let process = files.found() {
      try resume(files, process)
      try files.noteBegun()
      return try files.notePower()
    }
    // Until somebody stops it, it is to run, however often that fails.
    let wasToRun = [.died, .lost].contains(files.end())
    let check = QemuCheck(program, plan)
    if let finding = check.planFindings().first(where: { $0.verdict == .failed }) {
      throw ComputeError(
        .plan, [finding.found, finding.advice].compactMap { $0 }.joined(separator: " "))
    }
    if let finding = check.hostFindings().first(where: { $0.verdict == .failed }) {
      throw ComputeError(
        .missing, [finding.found, finding.advice].compactMap { $0 }.joined(separator: " "))
    }
    if let path = check.missingDisks().first {
      throw ComputeError(
        .plan, "The disk '\(path)' of '\(plan.name)' is not there. Look after who is to serve it.")
    }
    guard let program else { return }
    try files.prepare(plan)
    let firmware = plan.firmware == .uefi ? Firmware.installed() : nil
    if let firmware { try firmware.provideVariables(files) }
    let arguments = try QemuArguments(
      plan: plan, files: files, acceleration: AccelerationProbe.shared.result(program).acceleration,
      firmware: firmware?.code
    ).all()
    // Before it begins, so that a host that goes down just then starts it again.
    try files.notePower()
    do throws(ComputeError) {
      let process = try inFiles { () throws(IOError) in
        try files.removeIfThere(files.log)
        return try ProcessHandle.start(
          program, [program] + arguments, environment: Self.environment, log: files.log)
      }
      do throws(ComputeError) {
        try resume(files, process)
        try files.noteBegun()
      } catch {
        process.kill()
        _ = process.hasEnded(until: .now + Self.patience)
        throw error
      }
    } catch {
      try? FileSystem.system.remove(files.process)
      if !wasToRun { try? files.forgetPower() }
      throw error
    }
  }

  /// Waits until the monitor answers, and has a machine go on that did not begin yet, or whose disk was full
  /// (QEMU halts it then, and tries the same write again).
  private func resume(
    _ files: QemuFiles, _ process: borrowing ProcessHandle
  ) throws(ComputeError) {
    let deadline = ContinuousClock.now + ComputeLimits.start
    while true {
      do throws(ConversationError) {
        var monitor = try JSONConversation(files.monitor, until: deadline)
        try monitor.greet()
        let status = try monitor.ask("query-status")["status"]?.text
        if status == "prelaunch" || status == "io-error" { _ = try monitor.ask("cont") }
        return
      } catch {
        guard process.isRunning else {
          throw ComputeError(
            .failed, "QEMU ended as soon as it was started: \(files.lastWords())")
        }
        guard ContinuousClock.now < deadline else {
          throw ComputeError(
            .failed, "QEMU did not come to life within 20 s: \(error.message) \(files.lastWords())")
        }
      }
      _ = process.hasEnded(until: .now + .milliseconds(20))
    }
  }

  /// Starts the plan that is kept.
  public func startAgain(in directory: String) throws(ComputeError) {
    guard let plan = try files(directory).storedPlan() else { return }
    try start(plan)
  }

  /// What the process says of its machine.
  public func observe(in directory: String) throws(ComputeError) -> MachineObservation? {
    let files = files(directory)
    guard let plan = try files.storedPlan() else { return nil }
    files.trimLogs()
    if let process = files.running() {
      do throws(ConversationError) {
        let seen = try QemuObserver(plan: plan, files: files).observe(process.identifier)
        // Also for one that who started it did not live to see.
        try? files.noteBegun()
        return seen
      } catch {
        guard process.hasEnded(until: .now + .milliseconds(100)) else {
          throw ComputeError(
            .unresponsive,
            "'\(plan.name)' runs as process \(process.identifier) and does not answer. \(error.message)"
          )
        }
      }
    }
    let end = files.end()
    // It may have been started just now.
    if files.running() != nil { return try observe(in: directory) }
    var observation = MachineObservation([.died, .lost].contains(end) ? .died : .off)
    observation.wasForced = FileSystem.system.exists(files.cutOff)
    observation.name = plan.name
    switch end {
    // Its guest powered it down, if nobody else did.
    case .off: try? files.forgetPower()
    case .starting: break
    case .elsewhere:
      observation.notes = [
        "It was powered on on another host, where it may run yet: nothing starts it here by itself."
      ]
    case .died:
      observation.notes = [
        "QEMU ended without being told to. The last it said: \(files.lastWords())"
      ]
    case .lost: observation.notes = ["It ran when this host went down."]
    }
    return observation
  }

  /// Asks the guest to power down (ACPI), again every 10 s, as a guest that is still booting does not hear it;
  /// then, with `force`, has QEMU quit, which writes out what it holds, and kills it if it does not.
  public func stop(
    in directory: String, within limit: Duration, force: Bool, isCancelled: @Sendable () -> Bool
  ) throws(ComputeError) -> MachineStop {
    let files = files(directory)
    guard let process = files.found() else {
      let wasOff = [.off, .elsewhere].contains(files.end())
      try files.forgetPower()
      guard !wasOff else { return .wasOff }
      try? files.noteCutOff()
      return .died
    }
    let deadline = ContinuousClock.now + limit
    var next = ContinuousClock.now
    var isAsked = false
    // Nobody hears the button of a halted machine.
    let halted = Self.haltedState(files)
    if let halted, !force { throw Self.halted(halted) }
    while halted == nil, ContinuousClock.now < deadline {
      if isCancelled() {
        if isAsked { try? files.notePower() }
        throw ComputeError(
          .cancelled, "The machine was asked to power down, and is not waited for.")
      }
      if ContinuousClock.now >= next {
        if (try? Self.ask("system_powerdown", files)) != nil {
          // A host that goes down while its guest does starts it no more. Where that can't be kept, it is stopped
          // all the same.
          if !isAsked { try? files.forgetPower() }
          isAsked = true
        }
        next = .now + .seconds(10)
      }
      let soon = min(deadline, .now + .milliseconds(200))
      if process.hasEnded(until: soon) {
        // QEMU removes the file in an orderly end.
        let hasDied = FileSystem.system.exists(files.process)
        try files.forgetPower()
        if hasDied { try? files.noteCutOff() }
        return hasDied ? .died : .clean
      }
    }
    guard force else {
      if isAsked { try? files.notePower() }
      throw ComputeError(
        .timeout,
        isAsked
          ? "The guest was asked to power down and did not within \(limit.components.seconds) s; it still "
            + "runs. Look at its console, or stop it by force."
          : "QEMU did not answer within \(limit.components.seconds) s, so its guest was not asked to power "
            + "down; it still runs. Try again, or stop it by force.")
    }
    _ = try? Self.ask("quit", files)
    if !process.hasEnded(until: .now + Self.patience) { try kill(process, files) }
    // It did not die: it was stopped. That counts even where a full vault keeps no word of how.
    try files.forgetPower()
    try? files.noteCutOff()
    try inFiles { () throws(IOError) in try files.removeIfThere(files.process) }
    return .forced
  }

  @discardableResult
  private static func ask(
    _ command: String, _ files: QemuFiles
  ) throws(ConversationError) -> JSONValue {
    var monitor = try JSONConversation(files.monitor, until: .now + ComputeLimits.answer)
    try monitor.greet()
    return try monitor.ask(command)
  }

  /// What QEMU calls the state of a machine that is halted; nil if it runs, or does not answer.
  private static func haltedState(_ files: QemuFiles) -> String? {
    guard let status = try? ask("query-status", files), status["running"]?.boolean == false,
      let word = status["status"]?.text, !["prelaunch", "shutdown"].contains(word)
    else { return nil }
    return String(word.prefix(100))
  }

  private static func halted(_ word: String) -> ComputeError {
    ComputeError(
      .timeout,
      "The machine is halted (QEMU calls it '\(word)'), so its guest can't power itself down. If its disks "
        + "are out of room, make some and start it; or stop it by force.")
  }

  private func kill(
    _ process: borrowing ProcessHandle, _ files: QemuFiles
  ) throws(ComputeError) {
    process.kill()
    guard process.hasEnded(until: .now + Self.patience) else {
      throw ComputeError(
        .failed,
        "Process \(process.identifier) of '\(files.directory)' was killed and does not end: the kernel waits "
          + "for its disk. Look after who serves that, and try again.")
    }
  }

  /// Kills the process and removes its files.
  ///
  /// A process that is just being started may not be seen yet. It can't stay either: it makes its sockets in the
  /// directory, and ends where it can't.
  public func end(in directory: String) throws(ComputeError) {
    let files = files(directory)
    var attempts = 3
    while true {
      if let process = files.found() { try kill(process, files) }
      do throws(ComputeError) { return try files.removeAll() } catch {
        attempts -= 1
        guard attempts > 0 else { throw error }
      }
    }
  }

  /// Its sockets, and the ports that QEMU itself says it forwards.
  public func connections(in directory: String) throws(ComputeError) -> MachineConnections? {
    let files = files(directory)
    guard let plan = try files.storedPlan(), files.running() != nil else { return nil }
    let ports: [MachineConnections.Port]
    do throws(ConversationError) {
      ports = try QemuObserver(plan: plan, files: files).ports()
    } catch { throw ComputeError(.unresponsive, error.message) }
    return MachineConnections(
      serialSocket: files.serial, displaySocket: files.display, consoleLog: files.console,
      ports: ports)
  }

  /// The end of the console log.
  public func console(in directory: String, limit: Int) throws(ComputeError) -> [UInt8] {
    let files = files(directory)
    var bytes: [UInt8] = []
    for path in [files.console, files.olderConsole] where bytes.count < limit {
      do throws(IOError) {
        bytes = try QemuFiles.tail(of: path, limit: limit - bytes.count) + bytes
      } catch { guard error.isMissing else { throw ComputeError(.failed, error.description) } }
    }
    return bytes
  }
}
