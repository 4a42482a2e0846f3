import Bytes
import Catalog
import Codecs
import FileIO
import Identity
import Operations
import Replication
import Support
import Testing

@testable import Agent
@testable import ReplicationService
@testable import Vault

/// Goal: who breaks the rules of a session is refused, told of once, and harms nobody. Method: a vault in
/// service behind TLS, and an agent with a good certificate that sends what no agent would.
@Suite(.serialized) struct RefusalTests {
  /// A protected machine of a vault in service, spoken for by the test.
  private final class Bench {
    let site: ServiceSite
    let credentials: Credentials
    let disks: [DiskConfiguration]

    init() throws {
      site = try ServiceSite("refusals")
      credentials = try site.enrol()
      try site.protect()
      disks = try site.agent.configuration().disks
    }

    /// Events of this kind.
    func events(_ code: String) throws -> [EventRecord] {
      try site.service.catalog.events(limit: 1000).filter { $0.code == code }
    }

    func open() throws -> Session { try Session(self) }

    /// Where the machine's log ends.
    func last() throws -> SequenceNumber {
      try site.service.vault.machine(named: "web01").snapshot().lastSequence
    }
  }

  /// A session in which a test says what is sent.
  private final class Session {
    let connection: ClientConnection
    let welcome: Welcome
    let stream: RecordStream
    private let key: SigningKey

    init(_ bench: Bench) throws {
      key = bench.credentials.signingKey
      connection = try bench.site.connect(bench.credentials)
      try connection.send(ServiceSite.hello(bench.disks).frame(), within: .seconds(5))
      welcome = try Welcome(try connection.receive(within: .seconds(10)))
      stream = RecordStream(
        vault: welcome.vault, machine: welcome.machine, codec: welcome.codec,
        position: welcome.position)
    }

    deinit { connection.close() }

    /// A record of one page that can be compressed, and its number.
    func record(disk: DiskNumber = 0, of other: RecordStream? = nil) throws -> Group {
      var block = [UInt8](repeating: 0, count: Layout.blockSize)
      block[100] = 7
      let stream = other ?? self.stream
      try block.withUnsafeBytes {
        try stream.write(disk: disk, block: 3, bytes: $0, pages: 1)
      }
      var bytes: [UInt8] = []
      stream.drain { bytes += $1 }
      return Group(last: stream.position.sequence, end: .commit, records: bytes)
    }

    /// Signs a group, for the epoch of the session unless another is given.
    func signed(_ group: Group, epoch: UInt32? = nil) throws -> Frame {
      var group = group
      group.signature = try key.sign(
        group.digest(
          vault: welcome.vault, machine: welcome.machine, epoch: epoch ?? welcome.epoch,
          session: welcome.session))
      return group.frame()
    }

    func send(_ frame: Frame) throws { try connection.send(frame, within: .seconds(5)) }

    /// Sends a group that is right, and waits until it is durable.
    func store(_ group: Group) throws {
      try send(try signed(group))
      #expect(try Stored(try connection.receive(within: .seconds(10))).through == group.last)
    }

    /// Why the service ends the session.
    func refusal() throws -> Refusal { try Refusal(try connection.receive(within: .seconds(10))) }
  }

  /// What an agent of ill will sends once its session is open, and a word of the answer.
  private static let breaches:
    [(name: String, word: String, send: @Sendable (Session) throws -> Void)] = [
      (
        "a group sent again", "does not follow",
        { session in
          let group = try session.record()
          try session.store(group)
          try session.send(try session.signed(group))
        }
      ),
      (
        "a group of an older epoch", "not signed",
        { try $0.send(try $0.signed(try $0.record(), epoch: $0.welcome.epoch &- 1)) }
      ),
      (
        "a group of a newer epoch", "not signed",
        { try $0.send(try $0.signed(try $0.record(), epoch: $0.welcome.epoch &+ 1)) }
      ),
      (
        "a group without a signature", "not signed", { try $0.send(try $0.record().frame()) }
      ),
      (
        "a cell that does not decompress to its length", "cells",
        { session in
          var group = try session.record()
          let identity = LogIdentity(vault: session.welcome.vault, machine: session.welcome.machine)
          var header = try #require(
            group.records.withUnsafeBytes {
              RecordHeader($0, identity: identity)
            })
          // Two pages are promised, and one is there; all checksums are right.
          header.dataMask = 3
          group.records.withUnsafeMutableBytes { header.encode(into: $0, identity: identity) }
          try session.send(try session.signed(group))
        }
      ),
      (
        "records of another machine", "no record of this log",
        { session in
          let other = RecordStream(
            vault: session.welcome.vault, machine: .random(), codec: session.welcome.codec,
            position: session.welcome.position)
          try session.send(try session.signed(try session.record(of: other)))
        }
      ),
      (
        "records of a disk that the machine has not", "disk 9",
        { try $0.send(try $0.signed(try $0.record(disk: 9))) }
      ),
      (
        "a number that is not the group's last", "ends with",
        { session in
          var group = try session.record()
          group.last = group.last.next
          try session.send(try session.signed(group))
        }
      ),
      (
        "a frame of a type that is none", "no place here", { try $0.send(Frame(type: 250)) }
      ),
      (
        "half a message", "",
        { session in
          var frame = try session.signed(try session.record())
          frame.payload.removeLast(40)
          try session.send(frame)
        }
      ),
    ]

  @Test("whatever breaks the protocol is refused, told of once, and leaves the log as it was")
  func breaches() throws {
    let bench = try Bench()
    let other = try ServiceSite.stranger(of: bench.site)
    let keeping = ["a group sent again", "a number that is not the group's last"]
    for (name, word, send) in Self.breaches {
      let told = try bench.events("session-refused").count
      let session = try bench.open()
      let before = session.welcome.position.sequence
      try send(session)
      let refusal = try session.refusal()
      #expect(refusal.code == .protocolBroken && refusal.text.contains(word), "\(name): \(refusal)")
      #expect(failure { _ = try session.connection.receive(within: .seconds(5)) } == .closed)
      let isFirst = name == Self.breaches[0].name
      // Records that are right may stay, whatever is said about them.
      let last = try bench.last()
      #expect(last == before || (last == before.next && keeping.contains(name)), "\(name)")
      #expect(try bench.events("session-refused").count == told + (isFirst ? 1 : 0), "\(name)")
      // Others are served all the while.
      let connection = try bench.site.connect(other)
      try connection.send(ServiceSite.hello().frame(), within: .seconds(5))
      let answer = try Refusal(try connection.receive(within: .seconds(10)))
      #expect(answer.code == .unprotected)
      connection.close()
    }
    let event = try #require(try bench.events("session-refused").first)
    #expect(event.machine == "web01" && event.message.contains("does not follow"), "\(event)")
    let session = try bench.open()
    try session.store(try session.record())
    #expect(try bench.last() == session.stream.position.sequence)
  }

  private func failure(_ body: () throws -> Void) -> TransportError.Code? {
    do {
      try body()
      return nil
    } catch { return (error as? TransportError)?.code }
  }

  @Test("a group of an older session is refused in the next one, also where its numbers would fit")
  func olderSession() throws {
    let bench = try Bench()
    let first = try bench.open()
    let kept = try first.signed(try first.record())
    first.connection.close()
    // The same numbers, for other records, are stored meanwhile.
    let second = try bench.open()
    try second.store(try second.record())
    try second.send(kept)
    #expect(try second.refusal().text.contains("not for this session"))
  }

  @Test("a frame longer than any, and bytes that are no frame, end a session and are told of once")
  func noFrames() throws {
    let bench = try Bench()
    for bytes in [[0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0], Array("GET / HTTP/1.1\r\n\r\n".utf8)] {
      let session = try bench.open()
      session.connection.connection.write(bytes, [])
      #expect(failure { _ = try session.connection.receive(within: .seconds(10)) } == .closed)
    }
    #expect(try Program.poll(seconds: 5) { try bench.events("session-refused").count == 1 })
    let session = try bench.open()
    try session.store(try session.record())
  }

  @Test("a clock that is six minutes off is refused and told of once, however often it tries")
  func clock() throws {
    let bench = try Bench()
    for offset: Int64 in [360, -360, 361] {
      let connection = try bench.site.connect(bench.credentials)
      var hello = ServiceSite.hello(bench.disks)
      hello.clock = Timestamp(seconds: Timestamp.now().seconds + offset)
      try connection.send(hello.frame(), within: .seconds(5))
      let refusal = try Refusal(try connection.receive(within: .seconds(10)))
      #expect(refusal.code == .clock && refusal.text.contains("Set both"))
      connection.close()
    }
    let events = try bench.events("session-refused")
    #expect(events.count == 1 && events.first?.message.contains("clock") == true)
  }

  @Test("a relay can't speak for an agent, in no way that there is, and each is told of")
  func relay() throws {
    let bench = try Bench()
    let relay = try ServiceSite.relay(of: bench.site)
    let (own, agents) = (
      relay.identity.certificateDER, bench.credentials.identity.certificateDER
    )
    let hello = ServiceSite.hello(bench.disks).frame()
    func opening(_ purpose: RelayHello.Purpose, _ certificate: [UInt8]) -> Frame {
      RelayHello(purpose, certificate: certificate, session: .random()).frame()
    }
    let attempts: [(frames: [Frame], code: Refusal.Code, word: String)] = [
      ([hello], .protocolBroken, "can't speak for a machine"),
      ([opening(.session, own), hello], .unknown, "Behind a relay there are agents"),
      ([opening(.session, agents), hello], .protocolBroken, "not signed by the machine"),
      ([opening(.drain, agents)], .unknown, "another session since"),
    ]
    let before = try bench.last()
    for (index, attempt) in attempts.enumerated() {
      let connection = try bench.site.connect(relay)
      for frame in attempt.frames { try? connection.send(frame, within: .seconds(5)) }
      let refusal = try Refusal(try connection.receive(within: .seconds(10)))
      #expect(refusal.code == attempt.code && refusal.text.contains(attempt.word), "\(refusal)")
      #expect(failure { _ = try connection.receive(within: .seconds(5)) } == .closed)
      #expect(try bench.events("session-refused").count == index + 1)
    }
    #expect(try bench.last() == before)
  }

  @Test("a machine that was revoked, or is not known, is turned away and told of")
  func revoked() throws {
    let bench = try Bench()
    try bench.site.service.revoke("web01")
    #expect(throws: (any Error).self) { try bench.open() }
    let isTold = try Program.poll(seconds: 5) {
      try bench.events("connections-refused").contains { $0.message.contains("revoked") }
    }
    #expect(isTold)
    // A certificate for a machine that nobody knows.
    let files = try IdentityFiles(in: bench.site.directory.file("nobody"))
    let made = try files.renew(
      from: try bench.site.service.authority(), role: .agent(.random()), validity: .seconds(86400),
      now: .now())
    for _ in 0..<3 {
      let connection = try bench.site.connect(made.credentials)
      try connection.send(ServiceSite.hello().frame(), within: .seconds(5))
      #expect(try Refusal(try connection.receive(within: .seconds(10))).code == .unknown)
    }
    #expect(try bench.events("session-refused").count == 1)
  }

  @Test("keys that are used up, expired or made up are refused, and told of once")
  func keys() throws {
    let site = try ServiceSite("refused-keys")
    let used = try site.key()
    try site.enrol(used)
    let short = try site.service.makeKey(label: "", validSeconds: 1, uses: 1).key
    let madeUp = RegistrationKey(for: try site.service.authority().fingerprint)
    #expect(throws: OperationError.self) { try site.enrol(used, name: "web02") }
    _ = Program.poll(seconds: 2.1) { false }
    for (index, key) in [short, madeUp, used].enumerated() {
      #expect(throws: OperationError.self) { try site.enrol(key, name: "web0\(index + 3)") }
    }
    #expect(try site.service.agents().map(\.name) == ["web01"])
    let told = try site.service.catalog.events(limit: 100).filter { $0.code == "enrolment-refused" }
    #expect(told.count == 1 && told.first?.message.contains("web01") == true, "\(told)")
  }
}
