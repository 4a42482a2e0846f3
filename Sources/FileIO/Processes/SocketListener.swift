internal import CFileIO
internal import Glibc

/// A Unix socket that other processes of the same user connect to. Its file stays when the value ends: a
/// successor may listen there already.
public struct SocketListener: ~Copyable, Sendable {
  private let descriptor: Int32
  private let path: String

  /// Listens at a path, in place of whoever did before.
  public init(at path: String) throws(IOError) {
    _ = unlink(path)
    descriptor = tidemark_listen(path)
    self.path = path
    guard descriptor >= 0 else { throw IOError("listen at", path, code: errno) }
  }

  deinit { if descriptor >= 0 { close(descriptor) } }

  /// The next connection; nil if none came in time. Blocks the calling thread.
  public func accept(until deadline: ContinuousClock.Instant) throws(IOError) -> ByteStream? {
    let left = (deadline - ContinuousClock.now).components
    let milliseconds = left.seconds * 1000 + left.attoseconds / 1_000_000_000_000_000
    var request = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    guard poll(&request, 1, Int32(max(0, min(milliseconds, 60_000)))) > 0 else { return nil }
    let connection = tidemark_accept(descriptor)
    if connection >= 0 { return ByteStream(connection, name: path) }
    // Whoever connected may have gone again.
    guard [EAGAIN, EINTR, ECONNABORTED].contains(errno) else {
      throw IOError("accept a connection at", path, code: errno)
    }
    return nil
  }
}
