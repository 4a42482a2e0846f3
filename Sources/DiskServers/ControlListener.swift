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
  private let busy = Atomic(0)

  /// Listens at the socket of a run directory, in place of whoever did before, until `end`.
  ///
  /// - Throws: `.directory` if nobody can listen there.
  public init(
    at directory: RunDirectory, _ answer: @escaping Answering
  ) throws(DiskServerError) {
    let listener: SocketListener
    do throws(IOError) { listener = try SocketListener(at: directory.control) } catch {
      throw DiskServerError(.directory, error)
    }
    let box = Box(listener)
    DispatchQueue(label: "tidemark.disk-server.control").async(group: group) { [self] in
      while !isEnding.load(ordering: .acquiring) { take(from: box, answer) }
    }
  }

  /// Takes no more requests, and waits for those that are being answered.
  public func end() {
    isEnding.store(true, ordering: .releasing)
    group.wait()
  }

  private final class Box: Sendable {
    let listener: SocketListener
    init(_ listener: consuming SocketListener) { self.listener = listener }
  }

  private final class Connection: Sendable {
    let stream: Mutex<ByteStream?>
    init(_ stream: consuming ByteStream) { self.stream = Mutex(stream) }
  }

  private func take(from box: Box, _ answer: @escaping Answering) {
    guard let found = try? box.listener.accept(until: .now + .milliseconds(200)) else { return }
    guard busy.load(ordering: .relaxed) < Self.limit else { return }
    let connection = Connection(found)
    busy.add(1, ordering: .relaxed)
    DispatchQueue(label: "tidemark.disk-server.answer").async(group: group) { [self] in
      connection.stream.withLock { stream in
        if var open = stream.take() { Self.serve(&open, answer) }
      }
      busy.subtract(1, ordering: .relaxed)
    }
  }

  private static func serve(_ stream: inout ByteStream, _ answer: Answering) {
    let deadline = ContinuousClock.now + patience
    guard let line = try? stream.line(limit: ControlText.limit, until: deadline) else { return }
    let reply: DiskAnswer
    do throws(DiskServerError) {
      let status = try answer(try ControlText.read(DiskRequest.self, line))
      reply = status.map { .status($0) } ?? .done
    } catch { reply = .failed(code: error.code, message: error.message) }
    guard let bytes = try? ControlText.line(reply) else { return }
    // Who does not wait for the answer does not want it.
    try? stream.send(bytes, until: .now + patience)
  }
}
