internal import FileIO
internal import Glibc
internal import Synchronization

/// A network link on loopback that a test makes slow, narrow or dead: a TCP proxy to a port of this
/// machine.
///
/// Connect to ``port`` instead of the target's. Each connection is carried to the target as a real TCP
/// connection; at most 256 KiB of each direction are on their way, so that a stalled link pushes back
/// on the sender as a real one does. All calls may come from any thread, and hold for live connections
/// too; what they set has taken effect when they return.
public final class FaultyLink: Sendable {
  /// Which way bytes go.
  public struct Direction: OptionSet, Sendable {
    /// One bit for each direction.
    public let rawValue: Int
    /// Names the directions by their bits.
    public init(rawValue: Int) { self.rawValue = rawValue }
    /// From whoever connected to the link.
    public static let forward = Direction(rawValue: 1)
    /// From the target.
    public static let backward = Direction(rawValue: 2)
    /// Both.
    public static let both: Direction = [.forward, .backward]
  }

  struct Faults: Sendable {
    var delay = 0.0
    var bytesPerSecond: Int?
    var stalled: Direction = []
    var isRefusing = false
    /// How live connections are to be ended, if they are.
    var ending: Ending?
    var isClosed = false
    var target: Int
    /// Counts the changes.
    var version = 0
  }

  enum Ending: Sendable { case cut, reset }

  struct Counts: Sendable {
    var forward = 0
    var backward = 0
    var connections = 0
    var live = 0
    /// The version of the faults that bytes are moved by now.
    var version = 0
  }

  /// The port to connect to.
  public let port: Int
  private let faults: Mutex<Faults>
  private let counts = Mutex(Counts())

  /// Opens a link to `target`, a port of this machine, without any fault yet.
  ///
  /// - Parameters:
  ///   - target: the port that connections are carried to.
  ///   - host: the IPv4 address it is on; another than loopback is a network namespace's.
  ///   - address: the IPv4 address of this machine to listen on.
  /// - Throws: `IOError` if it can't listen there.
  public init(
    to target: Int, at host: String = "127.0.0.1", listeningOn address: String = "127.0.0.1"
  ) throws {
    let listener = try FaultyLinkLoop.listen(on: address)
    port = listener.port
    faults = Mutex(Faults(target: target))
    let loop = FaultyLinkLoop(
      listener: listener.descriptor, host: host,
      // The loop ends when the link goes, so it does not hold on to it.
      faults: { [weak self] in
        self?.faults.withLock { faults in
          defer { faults.ending = nil }
          return faults
        }
      },
      count: { [weak self] change in self?.counts.withLock { change(&$0) } })
    try startThread { loop.run() }
  }

  deinit { close() }

  /// Lets every byte arrive so many seconds later, each way.
  public func delay(_ seconds: Double) { change { $0.delay = seconds } }

  /// Lets at most so many bytes a second through, each way and for each connection; nil for no limit.
  public func limit(bytesPerSecond: Int?) {
    change { $0.bytesPerSecond = bytesPerSecond }
  }

  /// Lets nothing through, without telling either end: a pulled cable.
  public func stall(_ direction: Direction = .both) {
    change { $0.stalled.formUnion(direction) }
  }

  /// Ends a stall.
  public func resume() { change { $0.stalled = [] } }

  /// Ends all live connections in order: what is on its way is lost, both ends see the end (FIN).
  public func cut() { change { $0.ending = .cut } }

  /// Ends all live connections with a reset (RST).
  public func reset() { change { $0.ending = .reset } }

  /// From now on resets connections as soon as they are made; or no longer does.
  public func refuse(_ isRefusing: Bool) { change { $0.isRefusing = isRefusing } }

  /// Carries connections made from now on to another port, as when a service moved.
  public func redirect(to target: Int) { change { $0.target = target } }

  /// Changes the faults, and waits until bytes are moved by them.
  private func change(_ body: (inout Faults) -> Void) {
    let version = faults.withLock { faults in
      body(&faults)
      faults.version += 1
      return faults.version
    }
    _ = Program.poll(seconds: 10) { counts.withLock { $0.version >= version } }
  }

  /// Ends the link and all connections.
  public func close() { faults.withLock { $0.isClosed = true } }

  /// Bytes handed on so far from whoever connected.
  public var bytesForward: Int { counts.withLock { $0.forward } }
  /// Bytes handed on so far from the target.
  public var bytesBackward: Int { counts.withLock { $0.backward } }
  /// Connections made so far.
  public var connections: Int { counts.withLock { $0.connections } }
  /// Connections carried now.
  public var liveConnections: Int { counts.withLock { $0.live } }
}

/// Starts a thread that nobody waits for.
func startThread(_ body: @escaping @Sendable () -> Void) throws {
  final class Body: Sendable {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
  }
  let held = Unmanaged.passRetained(Body(body))
  var thread = pthread_t()
  let code = pthread_create(
    &thread, nil,
    { raw in
      if let raw { Unmanaged<Body>.fromOpaque(raw).takeRetainedValue().run() }
      return nil
    }, held.toOpaque())
  guard code == 0 else {
    held.release()
    throw IOError("start a thread for", "a link", code: code)
  }
  pthread_detach(thread)
}
