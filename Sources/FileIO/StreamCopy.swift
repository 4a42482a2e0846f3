internal import Glibc

/// Copies what comes at standard input to a socket, and what comes from that to standard output. Neither end that
/// takes nothing keeps it from being cancelled.
///
/// On a terminal every key goes to the other end, but for one that ends it; the terminal is as before when it
/// ends. Otherwise it ends behind standard input's end, once nothing has come from the other end for a second,
/// or 10 s have gone by.
public struct StreamCopy: ~Copyable {
  /// Why it ended.
  public enum End: Sendable {
    /// The key was pressed.
    case escaped
    /// Standard input ended.
    case inputEnded
    /// The other end went away.
    case hungUp
    /// It was cancelled.
    case cancelled
  }

  /// Bytes that wait for the other end at the most; then nothing more is read.
  private static let limit = 1 << 16

  private let stream: ByteStream
  private let path: String
  private let escape: UInt8
  private let isTerminal = isatty(STDIN_FILENO) == 1
  private var waiting: [UInt8] = []
  /// What came and standard output has not taken yet.
  private var shown: [UInt8] = []
  private var inputEnd: ContinuousClock.Instant?
  private var heard = ContinuousClock.now

  /// Connects to the Unix socket at a path.
  ///
  /// - Parameters:
  ///   - path: the socket.
  ///   - escape: the key that ends it, as a terminal sends it.
  /// - Throws: the failure of connect(2); an error with `isTimeout` if nobody took the connection in 5 s.
  public init(with path: String, escape: UInt8) throws(IOError) {
    stream = try ByteStream(connectingTo: path, until: .now + .seconds(5))
    (self.path, self.escape) = (path, escape)
  }

  /// Copies until it ends; `isCancelled` is asked some times a second.
  public mutating func run(isCancelled: () -> Bool) throws(IOError) -> End {
    let raw = isTerminal ? RawTerminal() : nil
    defer { raw?.restore() }
    var isHungUp = false
    while !isCancelled() {
      if isHungUp, shown.isEmpty { return .hungUp }
      var looks = [
        pollfd(fd: canRead ? STDIN_FILENO : -1, events: Int16(POLLIN), revents: 0),
        pollfd(fd: isHungUp ? -1 : stream.descriptor, events: wanted, revents: 0),
        pollfd(fd: shown.isEmpty ? -1 : STDOUT_FILENO, events: Int16(POLLOUT), revents: 0),
      ]
      guard poll(&looks, 3, 100) >= 0 || errno == EINTR else {
        throw IOError("wait for", path, code: errno)
      }
      if looks[2].revents != 0 { try show() }
      let isReady = looks[1].revents & Int16(POLLIN | POLLHUP | POLLERR) != 0
      if isReady, shown.count < Self.limit, try !take() { isHungUp = true }
      if looks[0].revents != 0, try !read() { return .escaped }
      if looks[1].revents & Int16(POLLOUT) != 0, try !give() { isHungUp = true }
      if hasSaidAll { return .inputEnded }
    }
    return .cancelled
  }

  /// What the other end is asked for: more to show, unless enough waits for that, and room for what was typed.
  private var wanted: Int16 {
    Int16((shown.count < Self.limit ? POLLIN : 0) | (waiting.isEmpty ? 0 : POLLOUT))
  }

  private var canRead: Bool { inputEnd == nil && waiting.count < Self.limit }

  private var hasSaidAll: Bool {
    guard let inputEnd else { return false }
    let now = ContinuousClock.now
    return waiting.isEmpty && shown.isEmpty && now - max(heard, inputEnd) >= .seconds(1)
      || now - inputEnd >= .seconds(10)
  }

  /// What came from the other end; false if that is gone.
  private mutating func take() throws(IOError) -> Bool {
    var piece = [UInt8](repeating: 0, count: 4096)
    let count = Glibc.read(stream.descriptor, &piece, piece.count)
    if count < 0, errno == EINTR || errno == EAGAIN { return true }
    guard count > 0 else { return false }
    heard = .now
    shown += piece[..<count]
    return true
  }

  /// Gives standard output what it takes without being waited for: a pipe that has room has it for that much
  /// (pipe(7), PIPE_BUF).
  private mutating func show() throws(IOError) {
    let count = shown.withUnsafeBytes {
      Glibc.write(STDOUT_FILENO, $0.baseAddress, min($0.count, 4096))
    }
    if count < 0 {
      let code = errno
      guard code == EAGAIN || code == EINTR else {
        throw IOError("write to", "standard output", code: code)
      }
      return
    }
    shown.removeFirst(count)
  }

  /// What came at standard input; false if it was the key that ends this.
  private mutating func read() throws(IOError) -> Bool {
    var piece = [UInt8](repeating: 0, count: 4096)
    let count = Glibc.read(STDIN_FILENO, &piece, piece.count)
    if count < 0, errno == EINTR || errno == EAGAIN { return true }
    guard count >= 0 else { throw IOError("read from", "standard input", code: errno) }
    guard count > 0 else {
      inputEnd = .now
      return true
    }
    if isTerminal, piece[..<count].contains(escape) { return false }
    waiting += piece[..<count]
    return true
  }

  /// Sends what waits, as much as is taken; false if the other end is gone.
  private mutating func give() throws(IOError) -> Bool {
    let count = waiting.withUnsafeBytes {
      send(stream.descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
    }
    if count < 0 {
      let code = errno
      guard code != EPIPE, code != ECONNRESET else { return false }
      guard code == EAGAIN || code == EINTR else { throw IOError("write to", path, code: code) }
      return true
    }
    waiting.removeFirst(count)
    return true
  }
}

/// A terminal that gives each key as it is pressed, to this process alone (termios(3)).
private struct RawTerminal {
  private var usual = termios()

  /// Nil if the terminal does not tell how it is.
  init?() {
    guard tcgetattr(STDIN_FILENO, &usual) == 0 else { return nil }
    var raw = usual
    cfmakeraw(&raw)
    tcsetattr(STDIN_FILENO, TCSADRAIN, &raw)
  }

  /// Makes the terminal as it was.
  func restore() {
    var usual = usual
    tcsetattr(STDIN_FILENO, TCSADRAIN, &usual)
  }
}
