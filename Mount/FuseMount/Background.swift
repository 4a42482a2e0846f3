internal import CFuse
internal import FileIO
internal import Glibc

/// A mount served by a process in the background.
///
/// A process that forked without exec could not go on using Swift's runtime, whose other threads
/// and locks are not copied (fork(2)). So the command starts its own executable again, with
/// arguments that make it mount in the foreground, and waits until it reports:
///
/// ```swift
/// // tidemark mount DIR
/// try BackgroundMount.start(["mount", "--foreground", directory])   // returns once DIR answers
///
/// // tidemark mount --foreground DIR
/// let readiness = Readiness.inherited()       // nil unless started as above
/// do {
///   let session = try MountSession(tree: tree, mountPoint: directory)
///   try session.run(ready: { readiness?.succeed() })
/// } catch { readiness?.fail("\(error)") … }
/// ```
public enum BackgroundMount {
  /// Starts this executable again, in a session of its own and without the terminal, and waits
  /// until it reports that it is ready or fails.
  ///
  /// It works in the same directory and environment until it is ready. Its input is empty, and what
  /// it prints is lost.
  /// - Parameter arguments: without the name of the program.
  /// - Throws: `.backgroundFailed` with what the process reported, or how it ended.
  public static func start(_ arguments: [String]) throws(MountError) {
    try start(arguments, passing: [])
  }

  /// The same with descriptors of this process under new numbers, which are above `Readiness.descriptor`.
  static func start(
    _ arguments: [String], passing descriptors: [(Int32, as: Int32)]
  ) throws(MountError) {
    var ends: [Int32] = [-1, -1]
    guard tidemark_pipe(&ends) == 0 else { throw .system("make a pipe", errno) }
    defer { close(ends[0]) }
    let null = open("/dev/null", O_RDWR | O_CLOEXEC)
    guard null >= 0 else {
      close(ends[1])
      throw .system("open '/dev/null'", errno)
    }
    let program = RunningProcess.program
    let environment = inheritedEnvironment(without: Readiness.variable)
    let child: pid_t
    do {
      defer {
        close(null)
        close(ends[1])
      }
      child = try spawn(
        program, [CommandLine.arguments.first ?? program] + arguments,
        environment + ["\(Readiness.variable)=\(Readiness.descriptor)"],
        [(ends[1], as: Readiness.descriptor)] + (0...2).map { (null, as: $0) } + descriptors,
        detached: true)
    }
    try judge(drain(ends[0]), child)
  }

  /// Makes out of a report, or its absence, what the caller is told.
  private static func judge(_ report: String, _ child: pid_t) throws(MountError) {
    if report == Readiness.ready { return }
    let status = wait(for: child)
    guard report.hasPrefix(Readiness.failed) else {
      let end = status > 128 ? "was ended by signal \(status - 128)" : "ended with status \(status)"
      throw MountError(
        .backgroundFailed,
        "The mount's process in the background \(end) before the mount was ready. "
          + "Mount with --foreground to see what it says.")
    }
    throw MountError(
      .backgroundFailed, String(report.dropFirst(Readiness.failed.count)), exitStatus: status)
  }
}

/// The way a process in the background tells the command that started it how its mount went.
///
/// The first of `succeed` and `fail` counts. A process that ends without either has failed.
public struct Readiness: Sendable {
  static let variable = "TIDEMARK_READY_DESCRIPTOR"
  static let descriptor: Int32 = 3
  static let ready = "ready"
  static let failed = "failed "

  /// The way to the process that started this one with `BackgroundMount.start`; nil if none did.
  ///
  /// Call it once, before anything is mounted or started.
  public static func inherited() -> Readiness? {
    guard let text = getenv(variable) else { return nil }
    unsetenv(variable)
    guard Int32(String(cString: text)) == descriptor else { return nil }
    guard fcntl(descriptor, F_SETFD, FD_CLOEXEC) == 0 else { return nil }
    return Readiness()
  }

  /// Reports that the mount answers; also leaves the working directory, which would keep its file
  /// system from being unmounted.
  public func succeed() {
    report(Self.ready)
    chdir("/")
  }

  /// Reports that there is no mount, and why; end the process with the exit status it deserves.
  public func fail(_ message: String) { report(Self.failed + message) }

  private func report(_ text: String) {
    _ = Array(text.utf8).withUnsafeBytes { write(Self.descriptor, $0.baseAddress, $0.count) }
    close(Self.descriptor)
  }
}
