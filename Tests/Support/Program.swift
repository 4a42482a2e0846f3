internal import FileIO
internal import Glibc
internal import Synchronization

/// Another program under a test's control: started, waited for, killed.
///
/// It has a process group of its own, so that its children end with it, and writes to files, so
/// that no amount of output blocks it.
public final class Program: Sendable {
  /// Its process id, and the id of its process group.
  public let processIdentifier: Int32
  private let name: String
  private let output: TemporaryDirectory
  /// Whether the system was told that nobody asks for the exit status any more.
  private let isReaped = Atomic(false)

  /// How a program ended, and what it wrote.
  public struct Result: Sendable {
    /// The exit status; 128 + the number of the signal that killed it; nil if time ran out.
    public let status: Int32?
    /// What it wrote to its standard output.
    public let output: String
    /// What it wrote to its standard error.
    public let errors: String

    /// It ended by itself with status 0.
    public var succeeded: Bool { status == 0 }
    /// Status and all output, for the message of a failed test.
    public var report: String {
      "status \(status.map(String.init) ?? "none: time ran out")\n\(output)\(errors)"
    }
  }

  /// Starts a program, found in PATH if its name holds no slash, with empty input.
  ///
  /// - Parameters:
  ///   - name: the program.
  ///   - arguments: its arguments, without its name.
  ///   - environment: added to this process's own; an empty value unsets the variable.
  ///   - directory: where it runs; nil for where this process does.
  /// - Throws: `IOError` if there is no such program or it can't be started.
  public init(
    _ name: String, _ arguments: [String], environment: [String: String] = [:],
    in directory: String? = nil
  ) throws {
    self.name = name
    output = try TemporaryDirectory("output", in: "/tmp")
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    let flags = O_WRONLY | O_CREAT | O_APPEND
    posix_spawn_file_actions_addopen(&actions, 1, output.file("output"), flags, 0o600)
    posix_spawn_file_actions_addopen(&actions, 2, output.file("errors"), flags, 0o600)
    // Whatever listens in this process is none of the program's, and NIO does not see to that.
    for name in (try? FileSystem.system.list("/proc/self/fd")) ?? [] {
      if let number = Int32(name), number > 2 { _ = fcntl(number, F_SETFD, FD_CLOEXEC) }
    }
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    // Threads of the test runner block signals; the program starts with none blocked.
    var none = sigset_t()
    sigemptyset(&none)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setflags(
      &attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK))
    // Swift's Glibc can't ask posix_spawn to change the directory; env(1) can.
    let command = (directory.map { ["env", "-C", $0] } ?? []) + [name] + arguments
    processIdentifier = try Self.spawn(
      command[0], command, Self.variables(adding: environment), actions, attributes)
  }

  /// Nobody can ask for the program any more: it ends, and leaves no zombie. (Swift Testing waits for
  /// any child, and would find that zombie again and again instead of its own.)
  deinit {
    guard !isReaped.load(ordering: .relaxed) else { return }
    killGroup()
    reap()
  }

  @discardableResult
  private func reap() -> Int32 {
    var status: Int32 = 0
    while waitpid(processIdentifier, &status, 0) < 0, errno == EINTR {}
    isReaped.store(true, ordering: .relaxed)
    return status
  }

  private static func variables(adding added: [String: String]) -> [String] {
    var all: [String] = []
    var next = environ
    while let entry = next.pointee {
      let text = String(cString: entry)
      let key = text.prefix { $0 != "=" }
      if added[String(key)] == nil { all.append(text) }
      next += 1
    }
    return all + added.filter { !$0.value.isEmpty }.map { "\($0.key)=\($0.value)" }
  }

  private static func spawn(
    _ name: String, _ arguments: [String], _ environment: [String],
    _ actions: posix_spawn_file_actions_t, _ attributes: posix_spawnattr_t
  ) throws -> Int32 {
    var (actions, attributes) = (actions, attributes)
    let argumentList = arguments.map { strdup($0) } + [nil]
    let environmentList = environment.map { strdup($0) } + [nil]
    defer { for text in argumentList + environmentList { free(text) } }
    var child: pid_t = 0
    let code = posix_spawnp(&child, name, &actions, &attributes, argumentList, environmentList)
    guard code == 0 else { throw IOError("run", name, code: code) }
    return child
  }

  /// Sends a signal to the program alone.
  public func signal(_ number: Int32) { kill(processIdentifier, number) }

  /// Kills the program and its children at once (SIGKILL).
  public func killGroup() { kill(-processIdentifier, SIGKILL) }

  /// Whether it still runs.
  public var isRunning: Bool {
    var facts = siginfo_t()
    let options = WEXITED | WNOHANG | WNOWAIT
    return waitid(P_PID, id_t(processIdentifier), &facts, options) == 0 && facts.si_signo == 0
  }

  /// What it has written so far.
  public var outputSoFar: (output: String, errors: String) { (read("output"), read("errors")) }

  /// Waits until it has ended, at most `seconds`; then it is killed with its children.
  public func wait(seconds: Double) -> Result {
    let ended = Self.poll(seconds: seconds) { !isRunning }
    if !ended { killGroup() }
    let status = reap()
    let signal = status & 0x7F
    return Result(
      status: ended ? (signal == 0 ? (status >> 8) & 0xFF : 128 + signal) : nil,
      output: read("output"), errors: read("errors"))
  }

  /// Waits until `condition` holds, at most `seconds`; gives whether it does.
  public static func poll(seconds: Double, until condition: () throws -> Bool) rethrows -> Bool {
    let clock = ContinuousClock()
    let deadline = clock.now + .seconds(seconds)
    while !(try condition()) {
      guard clock.now < deadline else { return false }
      usleep(5000)
    }
    return true
  }

  private func read(_ file: String) -> String {
    let bytes = try? FileSystem.system.readFile(output.file(file), limit: 1 << 26)
    return String(decoding: bytes ?? [], as: UTF8.self)
  }

  /// Runs a program to its end, which must come within `seconds`.
  public static func run(
    _ name: String, _ arguments: String..., environment: [String: String] = [:],
    in directory: String? = nil, seconds: Double = 120
  ) throws -> Result {
    try Program(name, arguments, environment: environment, in: directory).wait(seconds: seconds)
  }

  /// Runs a program that must succeed, and gives its output.
  ///
  /// - Throws: `ProgramFailure` with all it wrote, if it fails or time runs out.
  @discardableResult
  public static func require(
    _ name: String, _ arguments: String..., environment: [String: String] = [:],
    in directory: String? = nil, seconds: Double = 120
  ) throws -> String {
    let result = try Program(name, arguments, environment: environment, in: directory)
      .wait(seconds: seconds)
    guard result.succeeded else {
      throw ProgramFailure(command: ([name] + arguments).joined(separator: " "), result: result)
    }
    return result.output
  }
}

/// A program that a test relies on failed.
public struct ProgramFailure: Error, CustomStringConvertible {
  /// What was run.
  public let command: String
  /// How it ended.
  public let result: Program.Result

  /// Tells how a program ended that should not have.
  public init(command: String, result: Program.Result) {
    (self.command, self.result) = (command, result)
  }

  /// Command, status and output.
  public var description: String { "'\(command)' failed: \(result.report)" }
}
