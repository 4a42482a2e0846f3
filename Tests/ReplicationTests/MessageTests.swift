import Bytes
import Codecs
import Support
import Testing
import Vault

@testable import Replication

/// Goal: both ends read what the other wrote, and nothing else. Method: random messages there and back,
/// and hostile payloads of every type.
struct MessageTests {
  private static func point(_ random: inout SeededGenerator) -> NewPoint {
    NewPoint(
      kind: random.once(in: 2) ? .crash : .application,
      consistency: random.once(in: 2) ? .machine : .perDisk, sourceWatched: random.once(in: 2),
      label: random.once(in: 2) ? "before upgrade" : nil, cycle: random.next(),
      disks: [PointDisk(number: 3, size: random.next())], time: time(&random))
  }

  private static func time(_ random: inout SeededGenerator) -> Timestamp {
    Timestamp(rawValue: Int64(bitPattern: random.next()) >> 2)
  }

  private static func assignment(_ random: inout SeededGenerator) -> Assignment {
    Assignment(
      state: Assignment.State.allCases[random.number(0..<Assignment.State.allCases.count)],
      interval: 30, applicationInterval: 0, bandwidth: random.next(), disks: [0, 7])
  }

  private static func hello(_ random: inout SeededGenerator) -> Hello {
    var hello = Hello(
      release: "0.3", hostName: "wéb01", system: "Debian GNU/Linux 12",
      addresses: ["10.0.0.7", "fe80::1"], clock: time(&random),
      held: SequenceNumber(rawValue: random.next()),
      disks: [
        Hello.Disk(
          configuration: DiskConfiguration(
            number: 2, path: "/srv/a b.img", capture: .reflink, format: .raw), size: 4096)
      ],
      findings: [Finding("space", .refused, "1 MiB free", advice: "Make room.")])
    hello.hardware = Hardware(
      cores: 4, memory: random.next(), firmware: .uefi,
      adapters: [
        Hardware.Adapter(
          name: "eth0", hardwareAddress: "52:54:00:12:34:56", addresses: ["10.0.0.7", "fd00::7"]),
        Hardware.Adapter(name: "eth1", hardwareAddress: "", addresses: []),
      ])
    hello.epoch = random.once(in: 2) ? 7 : nil
    return hello
  }

  private static func welcome(_ random: inout SeededGenerator) -> Welcome {
    Welcome(
      version: 1, release: "0.3", clock: time(&random), vault: .random(), machine: .random(),
      codec: .zstd, epoch: 4, position: .start, cycle: random.once(in: 2) ? random.next() : nil,
      hasUnmarkedWrites: true, hasCursor: false, disks: [PointDisk(number: 1, size: 512)],
      window: 8 << 20, assignment: assignment(&random))
  }

  private func check<Kind: Message & Equatable>(_ message: Kind) throws {
    #expect(try Kind(message.frame()) == message)
    #expect(message.frame().type == Kind.type.rawValue)
  }

  @Test("every message is read as it was written")
  func roundTrip() throws {
    var random = SeededGenerator(for: "messages")
    for _ in 0..<50 {
      try check(Self.hello(&random))
      try check(ShutdownOrder(number: random.next(), limit: 60))
      try check(
        ShutdownState(
          number: random.next(), phase: .lastCycle, isStopped: true, hasLastPoint: false,
          text: "Dówn."))
      try check(Self.welcome(&random))
      try check(Order(assignment: Self.assignment(&random), isNow: random.once(in: 2)))
      try check(Refusal(.full, "The vault is full."))
      try check(Heartbeat(clock: Self.time(&random)))
      var renewal = Renewal(certificate: "one", request: "two")
      renewal.signature = random.bytes(70)
      try check(renewal)
      try check(Renewed(certificate: "three"))
      let ends: [Group.End] = [.commit, .mark(Self.point(&random))]
      let records = random.bytes(random.number(0..<5000))
      for end in ends {
        try check(Group(last: SequenceNumber(rawValue: 7), end: end, records: records))
      }
      try check(Group(last: SequenceNumber(rawValue: 7), end: .abandon, records: []))
      let salt = random.bytes(ContentDigest.saltSize)
      try check(BlockQuery(disk: 1, size: 1 << 30, blocks: 5..<900, salt: salt))
      try check(PageQuery(disk: 1, size: 1 << 30, blocks: [9, 1, 4], salt: salt))
      let digest = records.withUnsafeBytes { ContentDigest(of: $0, salt: salt) }
      try check(Digests(sequence: SequenceNumber(rawValue: 9), digests: [digest, nil, digest]))
      try check(
        Report(
          activity: .copying, examined: 5, total: 9, failure: "no",
          disks: [Report.Disk(number: 3, examined: 5, changed: 4)], applicationFailure: "busy"))
    }
  }

  private static func relayHello(_ random: inout SeededGenerator) -> RelayHello {
    RelayHello(
      random.once(in: 2) ? .session : .drain, certificate: random.bytes(90), session: .random())
  }

  private static func relayStatus(_ random: inout SeededGenerator) -> RelayStatus {
    RelayStatus(
      release: "0.3", clock: time(&random), addresses: ["10.0.0.9", "relay01"], port: 9443,
      load: ServerLoad(
        processor: 170, memory: 301, cacheFree: random.next(), cacheSize: random.next(),
        pendingBytes: 7, pendingSeconds: 9, machines: 3))
  }

  private static func relayFrames(_ random: inout SeededGenerator) -> [Frame] {
    [
      relayHello(&random).frame(), relayStatus(&random).frame(),
      RelayOrders(clock: time(&random), isStatusWanted: true, revoked: ["0a1b", "2c"]).frame(),
      Relayed(through: SequenceNumber(rawValue: 8)).frame(),
      Introduction(certificate: random.bytes(90)).frame(),
    ]
  }

  @Test("every message of relays is read as it was written")
  func relays() throws {
    var random = SeededGenerator(for: "messages of relays")
    for _ in 0..<20 {
      try check(Self.relayHello(&random))
      try check(Self.relayStatus(&random))
      try check(RelayOrders(clock: Self.time(&random), revoked: ["0a1b", "2c"]))
      try check(Relayed(through: SequenceNumber(rawValue: random.next())))
      try check(Introduction(certificate: random.bytes(90)))
      try check(Refusal(.moved, "Elsewhere.", place: .service))
      try check(
        Refusal(.moved, "", place: ServerPlace(relay: .random(), hosts: ["a", "b"], port: 9443)))
    }
  }

  @Test("payloads that are cut, changed or noise are errors, and never a trap")
  func hostile() throws {
    var random = SeededGenerator(for: "hostile messages")
    let frames =
      [
        Self.hello(&random).frame(), Self.welcome(&random).frame(),
        Group(last: .zero, end: .mark(Self.point(&random)), records: [1, 2, 3]).frame(),
        BlockQuery(disk: 1, size: 9, blocks: 0..<7, salt: random.bytes(16)).frame(),
        PageQuery(disk: 1, size: 9, blocks: [7], salt: random.bytes(16)).frame(),
        Digests(sequence: .zero, digests: [nil]).frame(), Report(activity: .waiting).frame(),
        Doubt([Doubt.Finding(.reverted, disk: 3, "why")]).frame(),
        Renewal(certificate: "one", request: "two").frame(), Renewed(certificate: "three").frame(),
        Order(assignment: Self.assignment(&random), isNow: true).frame(),
        Stored(through: .zero, point: nil).frame(), Refusal(.full, "The vault is full.").frame(),
        Heartbeat(clock: Self.time(&random)).frame(), ShutdownOrder(number: 7, limit: 60).frame(),
        ShutdownState(number: 7, phase: .over, isStopped: true, text: "It is down.").frame(),
      ] + Self.relayFrames(&random)
    // A message that is added is read here too.
    let sent = Set(frames.map(\.type))
    #expect(MessageType.allCases.allSatisfy { sent.contains($0.rawValue) })
    for _ in 0..<Count.of("TIDEMARK_FUZZ", normally: 3000) {
      var frame = frames[random.number(0..<frames.count)]
      switch random.number(0..<3) {
      case 0: frame.payload = Array(frame.payload.prefix(random.number(0..<frame.payload.count)))
      case 1: frame.payload[random.number(0..<frame.payload.count)] = UInt8(random.number(0..<256))
      default: frame.payload = random.bytes(random.number(0..<300))
      }
      let type = MessageType.allCases[random.number(0..<MessageType.allCases.count)]
      if random.once(in: 4) { frame.type = type.rawValue }
      read(frame)
    }
  }

  private func read(_ frame: Frame) {
    _ = try? Hello(frame)
    _ = try? Welcome(frame)
    _ = try? ShutdownOrder(frame)
    _ = try? ShutdownState(frame)
    _ = try? Group(frame)
    _ = try? BlockQuery(frame)
    _ = try? PageQuery(frame)
    _ = try? Digests(frame)
    _ = try? Report(frame)
    _ = try? Order(frame)
    _ = try? Doubt(frame)
    _ = try? Stored(frame)
    _ = try? Refusal(frame)
    _ = try? RelayHello(frame)
    _ = try? RelayStatus(frame)
    _ = try? RelayOrders(frame)
    _ = try? Relayed(frame)
    _ = try? Introduction(frame)
    _ = try? Renewal(frame)
    _ = try? Renewed(frame)
    _ = try? Heartbeat(frame)
  }
}
