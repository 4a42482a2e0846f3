import Bytes
import FileIO
import Identity
import Replication
import Support
import Synchronization
import Testing

@testable import ReplicationService

/// A vault's authority, and ends with certificates of it, without a file on disk.
struct ServiceBench: Sendable {
  let disk = SimulatedDisk(seed: 1)
  let vault = Identifier.random()
  let authority: CertificateAuthority
  /// How far the clock of each end is ahead of the real one.
  let serviceClock = Clock()
  let clientClock = Clock()

  final class Clock: Sendable {
    private let ahead = Mutex(Int64(0))
    func advance(days: Int64) { ahead.withLock { $0 += days * 86400 } }
    var now: Timestamp {
      ahead.withLock { Timestamp(seconds: Timestamp.now().seconds + $0) }
    }
  }

  init() throws {
    authority = try CertificateAuthority.create(
      in: "/ca", vault: vault, vaultName: "Bench", now: .now(), on: disk.fileSystem)
  }

  func credentials(_ role: Role, days: Int64 = 90) throws -> Credentials {
    let files = try IdentityFiles(in: "/\(Identifier.random())", on: disk.fileSystem)
    return try files.renew(
      from: authority, role: role, validity: .seconds(days * 86400), now: .now()
    ).credentials
  }

  static var quick: ListenerSettings {
    var settings = ListenerSettings()
    (settings.address, settings.port) = ("127.0.0.1", 0)
    return settings
  }

  func service(
    _ settings: ListenerSettings = quick, credentials: Credentials? = nil,
    recorder: Recorder = Recorder()
  ) throws -> Service {
    try Service(
      settings, credentials ?? self.credentials(.service), recorder, clock: serviceClock)
  }

  func client(
    _ role: Role = .agent(.random()), settings: ClientSettings = ClientSettings(),
    rate: RateLimit? = nil
  ) throws -> Client {
    try client(try credentials(role), settings: settings, rate: rate)
  }

  func client(
    _ credentials: Credentials, settings: ClientSettings = ClientSettings(),
    rate: RateLimit? = nil
  ) throws -> Client {
    try Client(
      credentials: credentials, settings: settings, rate: rate,
      now: { [clientClock] in clientClock.now }
    )
  }
}

/// A listener under test with what it reported; stopped when the value goes.
final class Service: Sendable {
  let listener: Listener
  let recorder: Recorder
  private let revoked: Mutexed<Set<String>>
  private let reported: Mutexed<[RefusalReport]>

  init(
    _ settings: ListenerSettings, _ credentials: Credentials, _ recorder: Recorder,
    clock: ServiceBench.Clock
  ) throws {
    let (revoked, reported) = (Mutexed(Set<String>()), Mutexed([RefusalReport]()))
    (self.recorder, self.revoked, self.reported) = (recorder, revoked, reported)
    listener = try Listener(
      credentials: credentials, settings: settings, now: { clock.now },
      isRevoked: { peer in revoked.value.contains(peer.serial) },
      report: { report in reported.change { $0.append(report) } },
      makeHandler: { _ in recorder })
  }

  deinit { try? listener.stop(within: .seconds(5)) }

  var port: Int { listener.port }
  var reports: [RefusalReport] { reported.value }

  /// Waits for a report that says so.
  func hasReported(_ text: String) -> Bool {
    Program.poll(seconds: 5) { reports.contains { $0.reason.contains(text) } }
  }

  func revoke(_ serial: String) { revoked.change { _ = $0.insert(serial) } }
}

/// A value behind a lock.
final class Mutexed<Value: Sendable>: Sendable {
  private let held: Mutex<Value>
  init(_ value: Value) { held = Mutex(value) }
  var value: Value { held.withLock { $0 } }
  func change(_ body: (inout Value) -> Void) { held.withLock { body(&$0) } }
}

/// A handler that notes what happens, and does what the test says with each frame.
final class Recorder: ConnectionHandler {
  struct Notes: Sendable {
    var connections: [Connection] = []
    var frames: [Frame] = []
    var bytes = 0
    var ends: [TransportError?] = []
    /// How many frames there were each time it was told that nothing waits.
    var rests: [Int] = []
  }

  private let notes = Mutexed(Notes())
  private let keepsPayloads: Bool
  private let onFrame: @Sendable (Frame, Connection) -> Void
  /// Whether it says something first.
  private let greets: Bool

  init(
    keepsPayloads: Bool = true, greets: Bool = false,
    onFrame: @escaping @Sendable (Frame, Connection) -> Void = { _, _ in }
  ) {
    (self.keepsPayloads, self.onFrame, self.greets) = (keepsPayloads, onFrame, greets)
  }

  static var echo: Recorder {
    Recorder { frame, connection in try? connection.send(frame, within: .seconds(10)) }
  }

  func connected(_ connection: Connection) {
    notes.change { $0.connections.append(connection) }
    if greets { try? connection.send(Frame(type: 0), within: .seconds(5)) }
  }

  func received(_ frame: Frame, on connection: Connection) {
    onFrame(frame, connection)
    notes.change { notes in
      notes.bytes += frame.payload.count
      notes.frames.append(keepsPayloads ? frame : Frame(type: frame.type, flags: frame.flags))
    }
  }

  func caughtUp(on connection: Connection) {
    notes.change { $0.rests.append($0.frames.count) }
  }

  func closed(_ connection: Connection, error: TransportError?) {
    notes.change { $0.ends.append(error) }
  }

  var seen: Notes { notes.value }

  /// Waits until so many connections have ended, and gives the codes they ended with.
  func ends(_ count: Int, seconds: Double = 5) -> [TransportError.Code?] {
    _ = Program.poll(seconds: seconds) { seen.ends.count >= count }
    return seen.ends.map { $0?.code }
  }

  func hasConnected(_ count: Int) -> Bool {
    Program.poll(seconds: 10) { seen.connections.count >= count }
  }
}

/// The error that `body` throws, if it is one of the transport.
func failure(_ body: () throws -> Void) -> TransportError? {
  do {
    try body()
    return nil
  } catch { return error as? TransportError }
}

extension Client {
  /// Connects to a port of this machine.
  func connect(_ port: Int, within duration: Duration = .seconds(10)) throws -> ClientConnection {
    try connect(to: "127.0.0.1", port: port, within: duration)
  }
}
