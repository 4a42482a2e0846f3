internal import FileIO
internal import Glibc
internal import Synchronization

/// What QEMU offers on a Unix socket, well-behaved or not: a guest agent, or a monitor.
public final class FakeMachine: Sendable {
  /// How it behaves.
  public enum Manner: Sendable, CaseIterable {
    /// As it should.
    case good
    /// Takes everything, and says nothing.
    case silent
    /// Says nothing once it has frozen.
    case silentAfterFreeze
    /// Answers only half of each line.
    case half
    /// Answers with a line that does not end.
    case endless
    /// Answers that it can't.
    case failing
    /// Answers with what is no JSON.
    case noise
    /// Hangs up at each command.
    case hangingUp
    /// Freezes, and ends for good.
    case dyingAfterFreeze
    /// Does not hear its power button; all others power down, and end.
    case deaf
    /// Leaves unread answers of an earlier client in the channel.
    case stale
  }

  /// What became of it so far.
  public struct State: Sendable {
    var manner: Manner
    /// Whether its file systems are frozen, or it is stopped.
    public var isFrozen = false
    /// What it was told, in order.
    public var commands: [String] = []
  }

  /// Where its socket is.
  public let path: String
  private let isMonitor: Bool
  private let state: Mutex<State>
  private let listener: Int32

  /// Listens at a path, as a monitor or as a guest's agent.
  public init(_ path: String, isMonitor: Bool = false, _ manner: Manner = .good) throws {
    (self.path, self.isMonitor) = (path, isMonitor)
    state = Mutex(State(manner: manner))
    // Programs that tests start must not have it, too.
    listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
      throw IOError("listen at", path, code: ENAMETOOLONG)
    }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    let size = socklen_t(MemoryLayout<sockaddr_un>.size)
    let bound = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(listener, $0, size) }
    }
    guard bound == 0, listen(listener, 8) == 0 else {
      throw IOError("listen at", path, code: errno)
    }
    BackgroundThread.run { [self] in serve() }
  }

  deinit { close(listener) }

  /// What became of it so far.
  public var notes: State { state.withLock { $0 } }

  /// Behaves otherwise from now on.
  public func behave(_ manner: Manner) { state.withLock { $0.manner = manner } }

  /// What the guest does by itself, or somebody else has it do.
  public func set(frozen: Bool) { state.withLock { $0.isFrozen = frozen } }

  /// Ends: nobody listens any more.
  public func end() {
    shutdown(listener, Int32(SHUT_RDWR))
    unlink(path)
  }

  private func serve() {
    while true {
      let client = accept(listener, nil, nil)
      guard client >= 0 else { return }
      _ = fcntl(client, F_SETFD, FD_CLOEXEC)
      converse(client)
      close(client)
    }
  }

  private func converse(_ client: Int32) {
    switch notes.manner {
    case .stale: say(client, #"{"return":{}}"# + "\n" + #"{"retu"#)
    case .silent: break
    default:
      if isMonitor {
        say(client, #"{"QMP":{"version":{"qemu":{"major":7}},"capabilities":[]}}"# + "\n")
      }
    }
    var buffer: [UInt8] = []
    while true {
      var piece = [UInt8](repeating: 0, count: 4096)
      let count = recv(client, &piece, piece.count, 0)
      guard count > 0 else { return }
      buffer += piece[..<count]
      while let end = buffer.firstIndex(of: UInt8(ascii: "\n")) {
        let line = String(decoding: buffer[..<end].drop { $0 == 0xFF }, as: UTF8.self)
        buffer.removeSubrange(...end)
        guard answer(line, client) else { return }
      }
    }
  }

  /// Answers a command; false to hang up.
  private func answer(_ line: String, _ client: Int32) -> Bool {
    let (manner, wasFrozen) = (notes.manner, notes.isFrozen)
    let name = line.firstMatch(of: /"execute":"([a-z_-]+)"/).map { String($0.1) } ?? line
    state.withLock { $0.commands.append(name) }
    switch manner {
    case .silent: return true
    case .silentAfterFreeze where wasFrozen: return true
    case .hangingUp: return false
    case .endless:
      let piece = String(repeating: "x", count: 4096)
      for _ in 0..<100 { say(client, piece) }
      return true
    case .noise:
      say(client, "Escape character is ^]\n")
      return true
    case .failing where !name.hasPrefix("guest-sync"):
      say(client, #"{"error":{"class":"GenericError","desc":"the disk is on fire"}}"# + "\n")
      return true
    default: break
    }
    let text = result(of: name, line) + "\n"
    if manner == .half {
      say(client, String(text.prefix(text.count / 2)))
      return true
    }
    if name.hasPrefix("guest-sync") {
      say(client, [0xFF] + Array(text.utf8))
    } else {
      say(client, text)
    }
    if name == "system_powerdown", manner != .deaf {
      end()
      return false
    }
    if manner == .dyingAfterFreeze, ["guest-fsfreeze-freeze", "stop"].contains(name) {
      end()
      return false
    }
    return true
  }

  private func result(of name: String, _ line: String) -> String {
    switch name {
    case "guest-sync-delimited":
      let id = line.firstMatch(of: /"id":(\d+)/).map { String($0.1) } ?? "0"
      return #"{"return":\#(id)}"#
    case "guest-fsfreeze-status": return #"{"return":"\#(notes.isFrozen ? "frozen" : "thawed")"}"#
    case "guest-fsfreeze-freeze", "guest-fsfreeze-thaw":
      state.withLock { $0.isFrozen = name.hasSuffix("freeze") }
      return #"{"return":2}"#
    case "stop", "cont":
      state.withLock { $0.isFrozen = name == "stop" }
      // Events come between a command and its answer.
      return #"{"event":"\#(name == "stop" ? "STOP" : "RESUME")","timestamp":{"seconds":1}}"#
        + "\n" + #"{"return":{}}"#
    case "query-status":
      let running = !notes.isFrozen
      return
        #"{"return":{"status":"\#(running ? "running" : "paused")","running":\#(running)}}"#
    default: return #"{"return":{}}"#
    }
  }

  private func say(_ client: Int32, _ text: String) { say(client, Array(text.utf8)) }

  private func say(_ client: Int32, _ bytes: [UInt8]) {
    _ = send(client, bytes, bytes.count, Int32(MSG_NOSIGNAL))
  }
}

/// Blocking work that must not take one of the few threads that others share.
public enum BackgroundThread {
  /// Runs it on a thread of its own.
  public static func run(_ body: @escaping @Sendable () -> Void) {
    let box = Unmanaged.passRetained(Work(body))
    var thread = pthread_t()
    let code = pthread_create(
      &thread, nil,
      { context in
        guard let context else { return nil }
        Unmanaged<Work>.fromOpaque(context).takeRetainedValue().body()
        return nil
      }, box.toOpaque())
    if code == 0 { pthread_detach(thread) } else { box.release() }
  }

  private final class Work: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }
}
