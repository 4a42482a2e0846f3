internal import FileIO
internal import FoundationEssentials

/// The directory of a machine's run: what lies there, and how it is read and written.
///
/// | Name | What it holds |
/// |---|---|
/// | `plan.json` | what was asked for; there from before the first start until `end` |
/// | `qemu.pid` | the process; QEMU writes it, and removes it when it ends in an orderly way |
/// | `monitor`, `serial`, `display` | sockets, which only work while it runs |
/// | `console.log`, `console.log.1` | what came from the serial console last, and before |
/// | `qemu.log` | what QEMU said |
/// | `uefi-variables.fd` | what the firmware keeps |
/// | `address-N` | the address that adapter N was last seen with |
///
/// Nothing is synced but the plan: after a power loss nothing runs, and a plan without a process says so.
struct QemuFiles: Sendable {
  /// Bytes of a console log, or of QEMU's own, before its older part is put away or dropped.
  static let logLimit: UInt64 = 4 << 20
  /// Bytes of a Unix socket's path (unix(7)).
  private static let socketLimit = 107

  let directory: String
  private let system = FileSystem.system

  /// The directory at a path, with or without a slash at its end.
  init(_ directory: String) {
    var path = Substring(directory)
    while path.count > 1, path.last == "/" { path.removeLast() }
    self.directory = String(path)
  }

  var plan: String { directory + "/plan.json" }
  var process: String { directory + "/qemu.pid" }
  var monitor: String { directory + "/monitor" }
  var serial: String { directory + "/serial" }
  var display: String { directory + "/display" }
  var console: String { directory + "/console.log" }
  var olderConsole: String { console + ".1" }
  var log: String { directory + "/qemu.log" }
  var variables: String { directory + "/uefi-variables.fd" }
  func address(_ adapter: Int) -> String { "\(directory)/address-\(adapter)" }

  /// Whether the paths of sockets fit, and can be told to QEMU.
  var isUsable: Bool { directory.hasPrefix("/") && monitor.utf8.count <= Self.socketLimit }

  /// Makes the directory and keeps the plan in it; what an earlier run left of sockets and addresses goes.
  func prepare(_ plan: MachinePlan) throws(ComputeError) {
    try inFiles { () throws(IOError) in
      try system.makePrivateDirectory(directory)
      let addresses = try system.list(directory).filter { $0.hasPrefix("address-") }
      for path in [process, monitor, serial, display] + addresses.map({ directory + "/" + $0 }) {
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

  /// The process that runs here; nil if there is none.
  ///
  /// QEMU's own file names it. Whether it is that one, and not a later one with the same number, its arguments
  /// tell: nothing else is started with this directory's file as the place of its number.
  func running() -> ProcessHandle? {
    guard let bytes = try? system.readFile(process, limit: 32),
      let number = Int32(String(decoding: bytes, as: UTF8.self).prefix { $0.isNumber }),
      let handle = ProcessHandle(number)
    else { return nil }
    let arguments = handle.arguments()
    guard let flag = arguments.firstIndex(of: "-pidfile"), flag + 1 < arguments.count,
      arguments[flag + 1] == process, handle.isRunning
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
      // The plan goes last: as long as it is there, there is something to end.
      for name in try system.list(directory) where name != "plan.json" {
        try removeIfThere(directory + "/" + name)
      }
      try removeIfThere(plan)
      try system.removeDirectory(directory)
    }
  }

  func removeIfThere(_ path: String) throws(IOError) {
    do throws(IOError) { try system.remove(path) } catch {
      guard error.isMissing else { throw error }
    }
  }
}

/// Runs `body` and turns a failed system call into a failure to run a machine.
func inFiles<Result: ~Copyable>(
  _ body: () throws(IOError) -> Result
) throws(ComputeError) -> Result {
  do { return try body() } catch { throw ComputeError(.failed, error.description) }
}
