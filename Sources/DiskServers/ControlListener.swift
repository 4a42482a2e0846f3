internal import Dispatch
internal import FileIO
internal import Synchronization

/// A disk server's end of its socket: takes requests, has them answered, and sends the answers.
public final class ControlListener: Sendable {
  /// Answers one request; a failure is sent as it is. May block.
  public typealias Answering =
    @Sendable (DiskRequest) throws(DiskServerError) -> DiskServerStatus?

  private let isEnding = Atomic(false)
  private let group = DispatchGroup()
  /// How many are answered at the same time; more are let go at once.
  private static let limit = 16
  /// How long who connected may take to ask, and to take the answer.
  private static let patience = Duration.seconds(10)
  /// Between two looks whether to end.
  private static let pause = Duration.milliseconds(200)
  private let busy = Atomic(0)

  /// Listens at the socket of a run directory, in place of whoever did before, until `end`. Where nobody can
  /// listen, or the socket is removed, that is tried until it can be done: disks are served without.
  ///
  /// `isShared` is as for `RunDirectory.make`, which is done anew with it.
  public init(
    at directory: RunDirectory, isShared: Bool, _ answer: @escaping Answering
  ) {
    DispatchQueue(label: "tidemark.disk-server.control").async(group: group) { [self] in
      while !isEnding.load(ordering: .acquiring) {
        if let listener = try? SocketListener(at: directory.control) {
          listen(listener, at: directory.control, answer)
        } else {
          ProcessSignals.sleep(Self.pause)
          try? directory.make(isShared: isShared)
        }
      }
    }
  }

  /// Takes no more requests, and waits at most a second for those that are being answered. Who asked and has
  /// got no answer then asks the successor.
  public func end() {
    isEnding.store(true, ordering: .releasing)
    _ = group.wait(timeout: .now() + 1)
  }

  private final class Connection: Sendable {
    let stream: Mutex<ByteStream?>
    init(_ stream: consuming ByteStream) { self.stream = Mutex(stream) }
  }

  /// Takes requests until the end, or until nobody finds the socket any more.
  private func listen(
    _ listener: borrowing SocketListener, at path: String, _ answer: @escaping Answering
  ) {
    while !isEnding.load(ordering: .acquiring), FileSystem.system.exists(path) {
      do throws(IOError) {
        if let found = try listener.accept(until: .now + Self.pause) { take(found, answer) }
      } catch {
        // Such as too many open files, which will not pass at once.
        ProcessSignals.sleep(Self.pause)
      }
    }
  }

  private func take(_ found: consuming ByteStream, _ answer: @escaping Answering) {
    guard busy.load(ordering: .relaxed) < Self.limit else { return }
    let connection = Connection(found)
    busy.add(1, ordering: .relaxed)
    DispatchQueue(label: "tidemark.disk-server.answer").async(group: group) { [self] in
      connection.stream.withLock { stream in
        if var open = stream.take() { serve(&open, answer) }
      }
      busy.subtract(1, ordering: .relaxed)
    }
  }

  private func serve(_ stream: inout ByteStream, _ answer: Answering) {
    guard let line = line(of: &stream) else { return }
    let reply: DiskAnswer
    do throws(DiskServerError) {
      let status = try answer(try ControlText.read(DiskRequest.self, line))
      reply = status.map { .status($0) } ?? .done
    } catch {
      // Who leaves does not answer, so that the successor is asked; it may also have failed because of the end.
      if error.code == .notRunning || isEnding.load(ordering: .acquiring) { return }
      reply = .failed(code: error.code, message: error.message)
    }
    guard let bytes = try? ControlText.line(reply) else { return }
    // Who does not wait for the answer does not want it.
    try? stream.send(bytes, until: .now + Self.patience)
  }

  /// What is asked; nil if it does not come in time, or not before the end.
  private func line(of stream: inout ByteStream) -> [UInt8]? {
    let deadline = ContinuousClock.now + Self.patience
    while !isEnding.load(ordering: .acquiring), ContinuousClock.now < deadline {
      do throws(IOError) {
        return try stream.line(limit: ControlText.limit, until: .now + Self.pause)
      } catch { guard error.isTimeout else { return nil } }
    }
    return nil
  }
}
