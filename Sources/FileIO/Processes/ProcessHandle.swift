internal import CFileIO
internal import Dispatch
internal import Glibc

/// A process that need not be a child of this one, held so that no other one is taken for it when it has
/// ended and its number is given out anew (pidfd_open(2)).
public struct ProcessHandle: ~Copyable, Sendable {
  /// The process's identifier.
  public let identifier: Int32
  private let descriptor: Int32

  /// Takes hold of a process; nil if there is none with this identifier.
  public init?(_ identifier: Int32) {
    guard identifier > 0 else { return nil }
    let found = tidemark_process_open(identifier)
    guard found >= 0 else { return nil }
    (self.identifier, descriptor) = (identifier, found)
  }

  deinit { close(descriptor) }

  /// The arguments it was started with, its own name first; none if it has ended, or they can't be read.
  public func arguments() -> [String] {
    guard let file = try? File("/proc/\(identifier)/cmdline", .reading),
      let bytes = try? file.read(at: 0, count: 256 << 10), !bytes.isEmpty
    else { return [] }
    return bytes.split(separator: 0, omittingEmptySubsequences: false)
      .map { String(decoding: $0, as: UTF8.self) }
  }

  /// Whether it has not ended.
  public var isRunning: Bool { !hasEnded(until: .now) }

  /// Waits until it has ended; false if it has not in time.
  public func hasEnded(until deadline: ContinuousClock.Instant) -> Bool {
    while true {
      let left = max(.zero, deadline - ContinuousClock.now)
      let milliseconds =
        left.components.seconds * 1000 + left.components.attoseconds / 1_000_000_000_000_000
      var request = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
      let count = poll(&request, 1, Int32(min(milliseconds, 60_000)))
      if count > 0 { return true }
      if count == 0, ContinuousClock.now >= deadline { return false }
      if count < 0, errno != EINTR { return false }
    }
  }

  /// Kills it (SIGKILL). One that sleeps in the kernel dies only once that is over.
  public func kill() { _ = tidemark_process_signal(descriptor, SIGKILL) }

  /// Starts a program that has nothing to do with this process: a session of its own, which outlives this
  /// one, no descriptors of it, empty input, and what it writes added to a file. Its end is waited for on a
  /// thread of its own, so that nothing is left of it.
  ///
  /// - Parameters:
  ///   - program: its path.
  ///   - arguments: its arguments, its own name first.
  ///   - environment: its variables, as `NAME=value`.
  ///   - log: the file, which is made if it is not there.
  /// - Returns: the process, which can't be another one, not even if it has ended.
  /// - Throws: the reason why it can't be run.
  public static func start(
    _ program: String, _ arguments: [String], environment: [String], log: String
  ) throws(IOError) -> ProcessHandle {
    let output = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
    guard output >= 0 else { throw IOError("open", log, code: errno) }
    defer { close(output) }
    let argumentList = arguments.map { strdup($0) } + [nil]
    let environmentList = environment.map { strdup($0) } + [nil]
    defer { for text in argumentList + environmentList { free(text) } }
    var child: Int32 = 0
    let code = tidemark_spawn(
      program, argumentList, environmentList, -1, output, output, 1, &child)
    guard code == 0 else { throw IOError("run", program, code: code) }
    // Until it is reaped its number can't be given to another one.
    let handle = ProcessHandle(child)
    let identifier = child
    DispatchQueue(label: "tidemark.reap").async { ChildProcess.reap(identifier) }
    guard let handle else { throw IOError("run", program, code: ESRCH) }
    return handle
  }
}
