internal import FileIO
internal import FoundationEssentials

/// The directory of a machine's run, and that of what outlives the host's: what lies there, and how it is read
/// and written. The two may be one.
///
/// | Name | What it holds |
/// |---|---|
/// | `qemu.pid` | the process; QEMU writes it, and removes it when it ends in an orderly way |
/// | `begun` | there once its monitor has answered, until it is started again |
/// | `monitor`, `serial`, `display` | sockets, which only work while it runs |
/// | `qemu.log` | what QEMU said |
/// | `address-N` | the address that adapter N was last seen with |
///
/// | Kept | What it holds |
/// |---|---|
/// | `plan.json` | what was asked for; there from before the first start until `end` |
/// | `powered-on` | the boot of the host that it was started in, and the host; there while it is to run |
/// | `console.log`, `console.log.1` | what came from the serial console last, and before |
/// | `cut-off` | there from when its power was taken, or it had died and was stopped, until it is started again |
/// | `uefi-variables.fd` | what the firmware keeps; QEMU syncs it when the guest's firmware does |
///
/// Plan and `powered-on` are durable before the process is started, and the second is removed once the machine was
/// stopped, or is seen to have powered itself down. So after a loss of power, or a restart of the host, nothing
/// runs, and `powered-on` says whether something should. A process that has no `qemu.pid` ended in an orderly way only
/// if it had `begun`: before that QEMU has not written the file yet.
struct QemuFiles: Sendable {
  /// Bytes of a console log, or of QEMU's own, before its older part is put away or dropped.
  static let logLimit: UInt64 = 4 << 20
  /// Bytes of a Unix socket's path (unix(7)).
  private static let socketLimit = 107

  let directory: String
  /// The directory of what outlives the host's run.
  let kept: String
  private let system = FileSystem.system

  /// The run in the directory at a path, with or without a slash at its end; what is kept lies below `base`, in a
  /// directory of the same name, or, without one, in the same directory.
  init(_ directory: String, keptIn base: String? = nil) {
    var path = Substring(directory)
    while path.count > 1, path.last == "/" { path.removeLast() }
    self.directory = String(path)
    kept =
      base.map { base in "\(base)/\(path.split(separator: "/").last ?? "machine")" }
      ?? String(path)
  }

  var plan: String { kept + "/plan.json" }
  var poweredOn: String { kept + "/powered-on" }
  var process: String { directory + "/qemu.pid" }
  var begun: String { directory + "/begun" }
  var monitor: String { directory + "/monitor" }
  var serial: String { directory + "/serial" }
  var display: String { directory + "/display" }
  var console: String { kept + "/console.log" }
  var olderConsole: String { console + ".1" }
  var cutOff: String { kept + "/cut-off" }
  var log: String { directory + "/qemu.log" }
  var variables: String { kept + "/uefi-variables.fd" }
  func address(_ adapter: Int) -> String { "\(directory)/address-\(adapter)" }

  /// Whether the paths of sockets fit, and can be told to QEMU.
  var isUsable: Bool { directory.hasPrefix("/") && monitor.utf8.count <= Self.socketLimit }

  /// Makes the directories and keeps the plan; what an earlier run left of sockets and addresses goes.
  func prepare(_ plan: MachinePlan) throws(ComputeError) {
    try inFiles { () throws(IOError) in
      if kept != directory {
        try system.makePrivateDirectory(FileSystem.parent(of: kept))
        try system.makePrivateDirectory(kept)
      }
      try system.makePrivateDirectory(directory)
      // Not one that somebody else has put there beforehand.
      _ = try FileSystem.ownerOfOwnDirectory(directory)
      let addresses = try system.list(directory).filter { $0.hasPrefix("address-") }
      for path in [process, begun, monitor, serial, display, cutOff]
        + addresses.map({ directory + "/" + $0 })
      {
        try removeIfThere(path)
      }
    }
    guard let bytes = try? JSONEncoder().encode(plan) else {
      throw ComputeError(.plan, "The plan of '\(plan.name)' can't be written down.")
    }
    try inFiles { () throws(IOError) in
      try system.replaceFile(self.plan, with: Array(bytes), permissions: 0o600)
    }
  }

  /// The plan that is kept; nil if there is none.
  func storedPlan() throws(ComputeError) -> MachinePlan? {
    guard system.exists(plan) else { return nil }
    let bytes = try inFiles { () throws(IOError) in try system.readFile(plan, limit: 1 << 20) }
    guard let plan = try? JSONDecoder().decode(MachinePlan.self, from: Data(bytes)) else {
      throw ComputeError(
        .failed,
        "'\(plan)' is damaged. End this machine, and start it anew: its disks are elsewhere.")
    }
    return plan
  }

  // MARK: - Power

  /// Keeps that it is to run from now on.
  func notePower() throws(ComputeError) {
    try inFiles { () throws(IOError) in
      try system.replaceFile(
        poweredOn, with: Self.boot() + [10] + (host() ?? []), permissions: 0o600)
    }
  }

  /// Keeps that it is not to run any more.
  func forgetPower() throws(ComputeError) {
    try inFiles { () throws(IOError) in
      guard system.exists(poweredOn) else { return }
      try removeIfThere(poweredOn)
      try system.syncDirectory(kept)
    }
  }

  /// Keeps that its guest did not power it down, until it is started again.
  func noteCutOff() throws(ComputeError) {
    try inFiles { () throws(IOError) in
      try system.replaceFile(cutOff, with: [], permissions: 0o600)
    }
  }

  /// What became of a machine that has no process.
  func end() -> QemuEnd {
    guard let noted = try? system.readFile(poweredOn, limit: 256) else { return .off }
    let lines = noted.split(separator: 10).map { Array($0) }
    if lines.count > 1, let host = host(), lines[1] != host { return .elsewhere }
    guard let boot = try? Self.boot(), lines.first == boot, system.exists(directory) else {
      return .lost
    }
    // QEMU removes the file in an orderly end, and writes it some time behind its start.
    guard !system.exists(process) else { return .died }
    guard system.exists(begun) else { return found() == nil ? .died : .starting }
    return wasTerminated() ? .died : .off
  }

  /// Keeps that QEMU has come to life: who finds it gone knows by its number's file how it ended.
  func noteBegun() throws(ComputeError) {
    try inFiles { () throws(IOError) in
      guard !system.exists(begun) else { return }
      do throws(IOError) { _ = try File(begun, .creating(permissions: 0o600)) } catch {
        // Whoever looked at it just now was faster.
        guard system.exists(begun) else { throw error }
      }
    }
  }

  /// Whether a signal ended it, as where a host goes down, which QEMU says in its log. That is an orderly end
  /// of QEMU, and none of its guest.
  private func wasTerminated() -> Bool {
    lastWords().contains("terminating on signal")
  }

  /// Which run of the host's kernel this is (random(4)).
  private static func boot() throws(IOError) -> [UInt8] {
    // (The kernel gives files of /proc no size.)
    let text = try File("/proc/sys/kernel/random/boot_id", .reading).read(at: 0, count: 64)
    return Array(text.prefix { $0 != 10 })
  }

  /// Which host this is (machine-id(5)); nil where that is not known.
  private func host() -> [UInt8]? {
    let text = (try? system.readFile("/etc/machine-id", limit: 128)) ?? []
    let line = Array(text.prefix { $0 != 10 })
    return line.isEmpty ? nil : line
  }

  /// The process that runs here; nil if there is none.
  ///
  /// QEMU's own file names it. Whether it is that one, and not a later one with the same number, its arguments
  /// tell: nothing else is started with this directory's file as the place of its number.
  func running() -> ProcessHandle? {
    // Not what somebody else has put there.
    guard (try? FileSystem.ownerOfOwnDirectory(directory)) != nil,
      let bytes = try? system.readFile(process, limit: 32),
      let number = Int32(String(decoding: bytes, as: UTF8.self).prefix { $0.isNumber }),
      let handle = ProcessHandle(number)
    else { return nil }
    let arguments = handle.arguments()
    guard let flag = arguments.firstIndex(of: "-pidfile"), flag + 1 < arguments.count,
      arguments[flag + 1] == process, handle.isRunning
    else { return nil }
    return handle
  }

  /// The process that runs here, or was started here by somebody who ended before it had written its number.
  func found() -> ProcessHandle? {
    if let process = running() { return process }
    func isMeant(_ words: [String]) -> Bool {
      zip(words, words.dropFirst()).contains { $0 == "-pidfile" && $1 == process }
    }
    let numbers = RunningProcess.all(of: FileSystem.userIdentifier, where: isMeant)
    guard let number = numbers.first, let handle = ProcessHandle(number),
      isMeant(handle.arguments()), handle.isRunning
    else { return nil }
    return handle
  }

  /// The last lines that QEMU said, for the message of an error.
  func lastWords() -> String {
    guard let bytes = try? Self.tail(of: log, limit: 2000), !bytes.isEmpty else {
      return "it said nothing"
    }
    let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n")
    return lines.suffix(4).joined(separator: " / ")
  }

  /// The last bytes of a file.
  static func tail(of path: String, limit: Int) throws(IOError) -> [UInt8] {
    let file = try File(path, .reading)
    let size = try file.status().size
    let count = min(size, UInt64(max(0, limit)))
    return try file.read(at: size - count, count: Int(count))
  }

  /// Keeps the logs within their limit. QEMU adds to their end wherever that is, so they can be emptied
  /// under it; what it writes between the copy and that is lost.
  func trimLogs() {
    if let size = try? system.status(console).size, size > Self.logLimit,
      let bytes = try? Self.tail(of: console, limit: Int(Self.logLimit) / 2)
    {
      try? system.replaceFile(olderConsole, with: bytes, permissions: 0o600)
      try? File(console, .writing).truncate(to: 0)
    }
    if let size = try? system.status(log).size, size > Self.logLimit {
      try? File(log, .writing).truncate(to: 0)
    }
  }

  /// Removes everything, the directory last.
  func removeAll() throws(ComputeError) {
    try inFiles { () throws(IOError) in
      guard system.exists(directory) else { return }
      for name in try system.list(directory) where kept != directory || name != "plan.json" {
        try removeIfThere(directory + "/" + name)
      }
      if kept != directory { try system.removeDirectory(directory) }
    }
    try inFiles { () throws(IOError) in
      guard system.exists(kept) else { return }
      // The plan goes last: as long as it is there, there is something to end.
      for name in try system.list(kept) where name != "plan.json" {
        try removeIfThere(kept + "/" + name)
      }
      try removeIfThere(plan)
      try system.removeDirectory(kept)
    }
  }

  func removeIfThere(_ path: String) throws(IOError) {
    do throws(IOError) { try system.remove(path) } catch {
      guard error.isMissing else { throw error }
    }
  }
}

/// What became of a machine that has no process any more.
enum QemuEnd {
  /// It was powered down, by its guest or by an operator.
  case off
  /// It is being started at this moment, and its process can't be asked yet.
  case starting
  /// Its process ended without being told to, or its start came to nothing.
  case died
  /// It was to run on another host: this is a copy of what that keeps, or was moved here.
  case elsewhere
  /// It ran when the host, or what the host keeps of processes, went down.
  case lost
}

/// Runs `body` and turns a failed system call into a failure to run a machine.
func inFiles<Result: ~Copyable>(
  _ body: () throws(IOError) -> Result
) throws(ComputeError) -> Result {
  do { return try body() } catch { throw ComputeError(.failed, error.description) }
}
