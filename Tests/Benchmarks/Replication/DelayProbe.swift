internal import Bytes
internal import FileIO
internal import Foundation
internal import Identity
internal import Replication
internal import ReplicationService
internal import Support
internal import Vault

/// An agent that sends one page at a time, and measures how long it takes until that is durable.
final class DelayProbe {
  private let connection: ClientConnection
  private var session: SourceSession
  private let stream: RecordStream
  private var generator = SeededGenerator(seed: 4)
  /// The machine's disk: it is named, and never read.
  private static let size: UInt64 = 1 << 30

  struct NoAnswer: Error {}

  /// Opens a session for a machine of one disk, which must be enrolled; it is enabled here.
  init(_ machine: Machine, _ site: Site, disk: String) throws {
    let files = try IdentityFiles(in: machine.state + "/identity")
    let credentials = try files.load()
    let hello = Hello(
      release: "benchmark", hostName: machine.name, system: "Linux", addresses: [], clock: .now(),
      held: .zero,
      disks: [
        Hello.Disk(
          configuration: DiskConfiguration(
            number: 0, path: disk, capture: .scan, format: .raw), size: Self.size)
      ])
    let client = try Client(credentials: credentials, now: { .now() })
    func open() throws -> (ClientConnection, SourceSession, SourceSession.Event) {
      let connection = try client.connect(
        to: "127.0.0.1", port: site.replicationPort, within: .seconds(10))
      let key = credentials.signingKey
      var session = SourceSession(hello: hello) { digest throws(ProtocolError) in
        do throws(IdentityError) { return try key.sign(digest) } catch {
          throw ProtocolError(.unsigned, error.message)
        }
      }
      try connection.send(session.start(), within: .seconds(10))
      let event = try session.receive(try connection.receive(within: .seconds(10)))
      return (connection, session, event)
    }
    // The first hello only tells of the disk.
    let (first, _, _) = try open()
    first.close()
    try site.enable(machine.name)
    let opened = try open()
    guard case .welcomed(let welcome) = opened.2 else { throw NoAnswer() }
    (connection, session) = (opened.0, opened.1)
    stream = RecordStream(
      vault: welcome.vault, machine: welcome.machine, codec: welcome.codec,
      position: welcome.position)
  }

  deinit { connection.close() }

  /// Sends pages for as long as `condition` holds, and gives how long each took, in milliseconds.
  func delays(while condition: (_ count: Int) throws -> Bool) throws -> [Double] {
    var delays: [Double] = []
    while try condition(delays.count) {
      let group = try nextGroup()
      let time = try ContinuousClock().measure {
        try connection.send(try session.send(group), within: .seconds(60))
        while session.durable < group.last {
          _ = try session.receive(try connection.receive(within: .seconds(60)))
        }
      }
      delays.append(time.inSeconds * 1000)
      // Writes come now and then, not one on the heels of the other.
      usleep(UInt32(generator.number(0..<4000)))
    }
    return delays
  }

  private func nextGroup() throws -> Group {
    let content = generator.bytes(4096) + [UInt8](repeating: 0, count: Layout.blockSize - 4096)
    try content.withUnsafeBytes {
      try stream.write(
        disk: 0, block: UInt64(generator.number(0..<Int(Self.size >> 16))), bytes: $0, pages: 1)
    }
    var records: [UInt8] = []
    stream.drain { records += $1 }
    return Group(last: stream.position.sequence, end: .commit, records: records)
  }
}
