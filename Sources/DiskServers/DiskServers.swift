public import Bytes
internal import FileIO
internal import FoundationEssentials

/// The disk servers of one vault: starts them, finds again those that run, and ends them.
///
/// A server is two processes of their own, apart from the one that starts them, whose end changes nothing
/// for them. All calls block; those on different branches may be made at the same time.
public struct DiskServers: Sendable {
  /// How a branch is to be served.
  public struct Options: Hashable, Sendable {
    /// A group whose members may use the disks, besides this user; nil for none.
    public var group: UInt32?
    /// Whether writes are refused until `thaw`.
    public var isFrozen = false
    /// Seconds until the disks must answer.
    public var patience = 60.0

    /// The usual options.
    public init() {}
  }

  /// A branch's server that runs.
  public struct Running: Hashable, Sendable {
    /// Which branch it serves.
    public let branch: Identifier
    /// The way to it.
    public let client: DiskServerClient

    /// The path of a disk, or of a partition of it.
    public func path(of disk: DiskNumber, partition: Int? = nil) -> String {
      let part = partition.map { ".part\($0)" } ?? ""
      return "\(client.directory.mountPoint)/disk\(disk)\(part).raw"
    }
  }

  private let vault: Identifier
  private let base: String
  private let program: String
  private let arguments: @Sendable (RunDirectory, Identifier) -> [String]

  /// The servers of the vault in a directory.
  public init(vault: Identifier, at path: String) {
    self.init(vault: vault, in: RunDirectory.usualBase, program: RunningProcess.program) {
      directory, branch in
      [
        "disk-server", "--vault", path, "--branch", "\(branch)", "--run-directory", directory.path,
      ]
    }
  }

  /// Servers that another program runs as; its arguments have the run directory's path among them.
  package init(
    vault: Identifier, in base: String, program: String,
    arguments: @escaping @Sendable (RunDirectory, Identifier) -> [String]
  ) {
    (self.vault, self.base, self.program, self.arguments) = (vault, base, program, arguments)
  }

  /// Where the server of a branch has its files, whether it runs or not.
  public func directory(of branch: Identifier) throws(DiskServerError) -> RunDirectory {
    try RunDirectory(vault: vault, branch: branch, in: base)
  }

  /// Tells for each branch of a vault in which directory its disks are served at present; nil if they are
  /// not. Asks nobody who may not answer.
  public static func place(in vault: Identifier) -> @Sendable (Identifier) -> String? {
    let base = RunDirectory.usualBase
    return { branch in
      let directory = try? RunDirectory(vault: vault, branch: branch, in: base)
      return directory.flatMap { $0.isMounted ? $0.mountPoint : nil }
    }
  }

  /// Starts the server of a branch and waits until its disks answer; one that runs already is taken. A start that
  /// fails is tried once more, unless it took too long: it ends within twice the patience of `options`.
  ///
  /// - Throws: `.notStarted` with what kept the server from starting; nothing is left of it then.
  public func start(
    _ branch: Identifier, _ options: Options = Options()
  ) throws(DiskServerError) -> Running {
    if let running = try answering(branch) { return running }
    let directory = try directory(of: branch)
    var words = [program] + arguments(directory, branch)
    if let group = options.group { words += ["--group", "\(group)"] }
    if options.isFrozen { words.append("--frozen") }
    var (status, output) = try run(words, within: options.patience)
    if status != nil, status != 0, try answering(branch) == nil {
      // One of its processes may have been killed: then nothing keeps the next ones from it.
      (status, output) = try run(words, within: options.patience)
    }
    guard status == 0 else {
      // Killed for taking too long, it has left behind what it started.
      if status == nil { directory.killProcesses() }
      // Somebody else may have been faster; else what is left is cleared away.
      if let running = try? answering(branch) { return running }
      let reason = output.split(separator: "\n").last.map(String.init)
      throw DiskServerError(
        .notStarted,
        reason
          ?? "The disk server of branch '\(branch)' ended without a word, status \(status ?? -1).")
    }
    directory.keep(reason: nil)
    return Running(branch: branch, client: DiskServerClient(directory))
  }

  /// The server of a branch, if one runs and answers.
  private func answering(_ branch: Identifier) throws(DiskServerError) -> Running? {
    guard let running = try find(branch) else { return nil }
    do throws(DiskServerError) { _ = try running.client.status() } catch {
      guard error.code == .notRunning else { throw error }
      return try find(branch)
    }
    return running
  }

  /// Runs the program to its end; kills it if it takes too long.
  private func run(
    _ words: [String], within seconds: Double
  ) throws(DiskServerError) -> (status: Int32?, output: String) {
    let variables = ProcessInfo.processInfo.environment.map { "\($0.key)=\($0.value)" }
    do throws(IOError) {
      var process = try ChildProcess(program, words, environment: variables, .output)
      let deadline = ContinuousClock.now + .seconds(seconds)
      let result = try process.run(limit: 1 << 16, until: deadline)
      process.end()
      return result
    } catch { throw DiskServerError(.notStarted, error) }
  }
}

// MARK: - Finding and ending

extension DiskServers {
  /// The server of a branch, if its processes are there; what one left that is not is cleared away.
  public func find(_ branch: Identifier) throws(DiskServerError) -> Running? {
    let directory = try directory(of: branch)
    guard FileSystem.system.exists(directory.path) else { return nil }
    guard directory.owner != nil || !FileSystem.system.exists(directory.path) else {
      throw DiskServerError(
        .directory,
        "'\(directory.path)' can't be relied on: it, or the directory above it, is of another user, can be "
          + "written to by others, or is a link. Remove it.")
    }
    guard directory.processes.isEmpty else {
      return Running(branch: branch, client: DiskServerClient(directory))
    }
    try cleanUp(directory)
    return nil
  }

  /// All servers of the vault that run; what those left that are gone is cleared away.
  public func running() throws(DiskServerError) -> [Running] {
    let names = (try? FileSystem.system.list("\(base)/\(vault)")) ?? []
    var found: [Running] = []
    for branch in names.sorted().compactMap({ Identifier($0) }) {
      if let running = try find(branch) { found.append(running) }
    }
    return found
  }

  /// Ends the server of a branch, if one runs, once nobody has the disks open; waits at most so long. With
  /// `force` it is ended in any case: who has a disk open loses it, and if the server does not answer in
  /// time, its processes are killed. All that was answered is in the branch then, and durable unless they
  /// were killed: then it is once the branch is opened again, which a loss of power before that may undo.
  ///
  /// - Throws: `.inUse` if somebody has a disk open, and the server goes on.
  public func end(
    _ branch: Identifier, within seconds: Double, force: Bool = false
  ) throws(DiskServerError) {
    guard let running = try find(branch) else { return }
    let directory = running.client.directory
    do throws(DiskServerError) {
      try running.client.quit(within: seconds, force: force)
    } catch {
      if error.code != .notRunning {
        guard force else { throw error }
        directory.killProcesses()
      }
    }
    try waitForEnd(of: directory)
    try cleanUp(directory)
  }

  private func waitForEnd(of directory: RunDirectory) throws(DiskServerError) {
    let deadline = ContinuousClock.now + .seconds(DiskServerClient.patience)
    while !directory.processes.isEmpty {
      guard ContinuousClock.now < deadline else {
        throw DiskServerError(
          .timeout,
          "The disk server of '\(directory.path)' does not end: it may be waiting for the "
            + "disk that the vault lies on.")
      }
      ProcessSignals.sleep(.milliseconds(5))
    }
  }

  /// Takes away the mount of a server that is gone, and its directory. Nothing happens if somebody just
  /// starts one there.
  private func cleanUp(_ directory: RunDirectory) throws(DiskServerError) {
    guard FileSystem.system.exists(directory.path) else { return }
    if directory.isMounted {
      // Who may unmount is the program's affair: it knows how root and how other users do.
      _ = try run(
        [program, "disk-server", "--run-directory", directory.path, "--clean-up"], within: 20)
    }
    guard let lock = directory.lock() else { return }
    if directory.processes.isEmpty { directory.remove() }
    lock.release()
  }
}
