internal import CFileIO
internal import Dispatch
internal import Glibc

/// Another program that this process has started: its identifier, and a stream to it.
///
/// The end of the value closes the stream, and neither ends the program nor takes its exit status.
public struct ChildProcess: ~Copyable, Sendable {
  /// How the program is connected with this process.
  public enum Connection: Sendable {
    /// A socket is its standard input and output; it has a session of its own, which outlives this
    /// process and its group. Its messages go where this process's go.
    case conversation
    /// It has empty input, a pipe takes its output and messages, and it has a process group of its own.
    case output
  }

  /// The process's identifier; for `.output` also that of its group.
  public let identifier: Int32
  /// The stream to it.
  public var stream: ByteStream
  private var status: Int32?

  /// How long it is waited for a program that was killed.
  private static let patience = Duration.seconds(2)
  /// Pieces of output that are taken of a program that has ended: what a pipe can hold.
  private static let lastPieces = 256

  /// Starts a program with these arguments, its own name first, and these variables, as `NAME=value`.
  ///
  /// It gets no descriptors but 0, 1 and 2, and no signal is blocked or ignored (posix_spawn(3)).
  /// - Throws: the reason why it can't be run.
  public init(
    _ program: String, _ arguments: [String], environment: [String], _ connection: Connection
  ) throws(IOError) {
    var ends: [Int32] = [-1, -1]
    let talks = connection == .conversation
    guard tidemark_channel(talks ? 1 : 0, &ends) == 0 else {
      throw IOError("make a pipe for", program, code: errno)
    }
    let mine = ByteStream(ends[0], name: program)
    defer { close(ends[1]) }
    let argumentList = arguments.map { strdup($0) } + [nil]
    let environmentList = environment.map { strdup($0) } + [nil]
    defer { for text in argumentList + environmentList { free(text) } }
    var child: Int32 = 0
    let code = tidemark_spawn(
      program, argumentList, environmentList, talks ? ends[1] : -1, ends[1],
      talks ? STDERR_FILENO : ends[1], talks ? 1 : 0, &child)
    guard code == 0 else { throw IOError("run", program, code: code) }
    identifier = child
    stream = mine
  }

  /// Waits until the program has ended; gives its exit status (128 and the signal's number if one killed
  /// it), nil if it has not ended in time.
  public mutating func wait(until deadline: ContinuousClock.Instant) -> Int32? {
    while status == nil {
      status = Self.takeStatus(of: identifier, WNOHANG)
      guard status == nil, ContinuousClock.now < deadline else { break }
      usleep(2000)
    }
    return status
  }

  /// Waits until the program has ended, and takes all it writes meanwhile; gives its exit status, nil if it
  /// has not ended in time, and the last `limit` bytes of what it wrote.
  public mutating func run(
    limit: Int, until deadline: ContinuousClock.Instant
  ) throws(IOError) -> (status: Int32?, output: String) {
    // What it leaves running may keep the pipe open, so its end tells nothing.
    while wait(until: .now) == nil, ContinuousClock.now < deadline {
      let soon = min(deadline, ContinuousClock.now + .milliseconds(10))
      if try !stream.collect(limit: limit, until: soon) { _ = wait(until: soon) }
    }
    // Whoever goes on writing, it or what it left running, is not listened to for ever.
    var pieces = 0
    while pieces < Self.lastPieces, try stream.collect(limit: limit, until: .now) { pieces += 1 }
    return (status, stream.text)
  }

  /// Kills the program and its group (SIGKILL), and takes its exit status.
  ///
  /// One that sleeps in the kernel, such as for a frozen file system to be thawed, dies only once that is
  /// over. Nobody waits for it here: it counts as killed, and its exit status is taken when there is one.
  public mutating func end() {
    guard status == nil else { return }
    kill(-identifier, SIGKILL)
    kill(identifier, SIGKILL)
    guard wait(until: .now + Self.patience) == nil else { return }
    status = 128 + SIGKILL
    DispatchQueue(label: "tidemark.reap").async { [identifier] in Self.reap(identifier) }
  }

  /// Waits until a process that this one has started has ended. Blocks for as long as that takes.
  public static func reap(_ identifier: Int32) { _ = takeStatus(of: identifier, 0) }

  private static func takeStatus(of identifier: Int32, _ options: Int32) -> Int32? {
    var raw: Int32 = 0
    var found = waitpid(identifier, &raw, options)
    while found < 0, errno == EINTR { found = waitpid(identifier, &raw, options) }
    if found == 0 { return nil }
    // Nobody's child any more: somebody else has taken its status.
    guard found > 0 else { return 127 }
    let signal = raw & 0x7F
    return signal == 0 ? (raw >> 8) & 0xFF : 128 + signal
  }
}
