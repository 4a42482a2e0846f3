internal import CFileIO
internal import Glibc

/// A stream of bytes with another process: one end of a pipe, or a Unix socket. Closed when the value
/// ends.
///
/// Every wait ends at its deadline, with an error that says `isTimeout`. For one thread at a time.
public struct ByteStream: ~Copyable, Sendable {
  let descriptor: Int32
  private let name: String
  private let isOwned: Bool
  /// What was read and not yet given out.
  private var buffer: [UInt8] = []
  private var hasEnded = false

  /// Takes over a descriptor.
  init(_ descriptor: Int32, name: String, isOwned: Bool = true) {
    (self.descriptor, self.name, self.isOwned) = (descriptor, name, isOwned)
  }

  deinit { if isOwned { close(descriptor) } }

  /// Takes over a descriptor that this process was given otherwise; it is closed when the value ends.
  public init(adopting descriptor: Int32, name: String) {
    self.init(descriptor, name: name)
  }

  /// The socket that this process was given as its standard input, by who started it.
  public static func standardInput() -> ByteStream {
    ByteStream(STDIN_FILENO, name: "standard input", isOwned: false)
  }

  /// Connects to a Unix socket (unix(7)); waits while its listener is busy.
  public init(
    connectingTo path: String, until deadline: ContinuousClock.Instant
  ) throws(IOError) {
    var found = tidemark_connect(path)
    while found < 0 {
      let code = errno
      guard code == EAGAIN || code == EINTR else {
        throw IOError("connect to", path, code: code)
      }
      guard ContinuousClock.now < deadline else {
        throw IOError("connect to", path, code: ETIMEDOUT)
      }
      usleep(10_000)
      found = tidemark_connect(path)
    }
    self.init(found, name: path)
  }

  /// Sends all of `bytes` to a socket (send(2), MSG_NOSIGNAL).
  public func send(
    _ bytes: [UInt8], until deadline: ContinuousClock.Instant
  ) throws(IOError) {
    var done = 0
    while done < bytes.count {
      let flags = Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT)
      let count = bytes.withUnsafeBytes {
        Glibc.send(descriptor, $0.baseAddress.map { $0 + done }, bytes.count - done, flags)
      }
      if count >= 0 {
        done += count
      } else if errno == EAGAIN {
        guard try waits(for: POLLOUT, until: deadline) else {
          throw IOError("write to", name, code: ETIMEDOUT)
        }
      } else if errno != EINTR {
        throw IOError("write to", name, code: errno)
      }
    }
  }

  /// The next line, without its end; nil if the stream has ended.
  ///
  /// - Throws: an error with `isTimeout` if it did not come in time (what came of it is kept for the next
  ///   call), one with `isTooLong` if it has more than `limit` bytes.
  public mutating func line(
    limit: Int, until deadline: ContinuousClock.Instant
  ) throws(IOError) -> [UInt8]? {
    while true {
      if let end = buffer.firstIndex(of: UInt8(ascii: "\n")) {
        let line = Array(buffer[..<end])
        buffer.removeSubrange(...end)
        return line
      }
      guard buffer.count <= limit else { throw IOError("read from", name, code: EMSGSIZE) }
      guard !hasEnded else { return nil }
      guard try fill(until: deadline) else { throw IOError("read from", name, code: ETIMEDOUT) }
    }
  }

  /// The next `count` bytes; nil if the stream has ended before them.
  ///
  /// - Throws: an error with `isTimeout` if they did not come in time.
  public mutating func bytes(
    _ count: Int, until deadline: ContinuousClock.Instant
  ) throws(IOError) -> [UInt8]? {
    while buffer.count < count {
      guard !hasEnded else { return nil }
      guard try fill(until: deadline) else { throw IOError("read from", name, code: ETIMEDOUT) }
    }
    let bytes = Array(buffer[..<count])
    buffer.removeSubrange(..<count)
    return bytes
  }

  /// Takes what has come, waiting for it no longer than until `deadline`; gives false if nothing came.
  ///
  /// Only the last `limit` bytes are kept for `text`.
  mutating func collect(limit: Int, until deadline: ContinuousClock.Instant) throws(IOError) -> Bool
  {
    guard !hasEnded, try fill(until: deadline) else { return false }
    if buffer.count > limit { buffer.removeFirst(buffer.count - limit) }
    return true
  }

  /// What was collected.
  var text: String { String(decoding: buffer, as: UTF8.self) }

  /// Reads once; false if nothing came in time.
  private mutating func fill(until deadline: ContinuousClock.Instant) throws(IOError) -> Bool {
    guard try waits(for: POLLIN, until: deadline) else { return false }
    var piece = [UInt8](repeating: 0, count: 4096)
    let count = read(descriptor, &piece, piece.count)
    if count < 0 {
      if errno == EINTR || errno == EAGAIN { return true }
      guard errno == ECONNRESET else { throw IOError("read from", name, code: errno) }
    }
    if count <= 0 { hasEnded = true } else { buffer.append(contentsOf: piece[..<count]) }
    return true
  }

  /// Waits until the stream is ready (poll(2)); false if it was not in time.
  private func waits(
    for events: Int32, until deadline: ContinuousClock.Instant
  ) throws(IOError) -> Bool {
    while true {
      let left = max(.zero, deadline - ContinuousClock.now)
      let milliseconds =
        left.components.seconds * 1000 + left.components.attoseconds / 1_000_000_000_000_000
      var request = pollfd(fd: descriptor, events: Int16(events), revents: 0)
      // Rounded up, so that a deadline is not polled for again and again in its last millisecond.
      let limit = left == .zero ? 0 : Int32(min(milliseconds, 60_000)) + 1
      let count = poll(&request, 1, limit)
      if count > 0 { return true }
      if count < 0, errno != EINTR { throw IOError("wait for", name, code: errno) }
      if ContinuousClock.now >= deadline { return false }
    }
  }
}

extension IOError {
  /// It did not happen in time (ETIMEDOUT).
  public var isTimeout: Bool { code == ETIMEDOUT }
  /// What came was longer than it may be (EMSGSIZE).
  public var isTooLong: Bool { code == EMSGSIZE }
  /// Nobody listens there (ECONNREFUSED).
  public var isNobodyThere: Bool { code == ECONNREFUSED }
  /// Who was there has gone (EPIPE, ECONNRESET).
  public var isHungUp: Bool { code == EPIPE || code == ECONNRESET }
}
