import Bytes
import Codecs
import FileIO
import Support
import Testing
import Vault

@testable import Replication

/// Goal: a relay can delay and end a session, and nothing else. Method: both state machines, and between
/// them somebody who changes, leaves out, repeats, swaps and invents frames.
struct SealTests {
  private static let agentKey: [UInt8] = [1, 2, 3]
  private static let serviceKey: [UInt8] = [4, 5, 6]
  private static let certificate: [UInt8] = [9, 9, 9]
  private let vault = Identifier.random()
  private let machine = Identifier.random()

  private struct Unexpected: Error {}

  /// Both ends of a session, and what went between them so far.
  private struct Pair {
    var source: SourceSession
    var service: VaultSession
  }

  private func pair() -> Pair {
    let isService: SignatureCheck = { digest, signature in signature == Self.serviceKey + digest }
    return Pair(
      source: SourceSession(
        hello: Hello(
          release: "1", hostName: "web01", system: "", addresses: [], clock: .now(), held: .zero,
          disks: []),
        sign: { Self.agentKey + $0 },
        through: { certificate in certificate == Self.certificate ? isService : nil }),
      service: VaultSession(
        isSigned: { $1 == Self.agentKey + $0 },
        seal: ServiceSeal(certificate: Self.certificate, sign: { Self.serviceKey + $0 })))
  }

  private var welcome: Welcome {
    Welcome(
      version: 1, release: "1", clock: .now(), vault: vault, machine: machine, codec: .zstd,
      epoch: 0, position: .start, cycle: nil, hasUnmarkedWrites: false, hasCursor: false,
      disks: [], window: 8 << 20, assignment: Assignment(state: .protected, disks: [0]))
  }

  private func opened() throws -> Pair {
    var pair = pair()
    guard case .greet = try pair.service.receive(pair.source.start()) else { throw Unexpected() }
    let introduction = try #require(pair.service.introduction)
    guard case .introduced = try pair.source.receive(pair.service.outgoing(introduction)) else {
      throw Unexpected()
    }
    let frame = pair.service.welcome(welcome)
    guard case .welcomed = try pair.source.receive(pair.service.outgoing(frame)) else {
      throw Unexpected()
    }
    return pair
  }

  private let query = BlockQuery(
    disk: 0, size: 1 << 20, blocks: 0..<3, salt: [UInt8](repeating: 7, count: 16))

  private func group(_ last: UInt64) -> Group {
    Group(last: SequenceNumber(rawValue: last), end: .commit, records: [1, 2, 3])
  }

  @Test("an honest relay is not noticed: groups, queries, reports and orders pass")
  func honest() throws {
    var pair = try opened()
    for last in UInt64(1)...5 {
      let frame = try pair.source.outgoing(pair.source.send(group(last)))
      guard case .store(let group) = try pair.service.receive(frame) else { throw Unexpected() }
      _ = try pair.source.receive(Relayed(through: group.last).frame())
      #expect(pair.source.inFlight == 0 && pair.source.durable.rawValue == last - 1)
      let stored = pair.service.outgoing(pair.service.stored(through: group.last, point: nil))
      guard case .stored = try pair.source.receive(stored) else { throw Unexpected() }
      #expect(pair.source.durable.rawValue == last)
      let asked = try pair.source.outgoing(pair.source.ask(query))
      guard case .blocks = try pair.service.receive(asked) else { throw Unexpected() }
      let answer = pair.service.outgoing(Digests(sequence: .zero, digests: [nil]).frame())
      guard case .digests = try pair.source.receive(answer) else { throw Unexpected() }
      let report = try pair.source.outgoing(Report(activity: .copying).frame())
      guard case .report = try pair.service.receive(report) else { throw Unexpected() }
      let order = Order(assignment: welcome.assignment, isNow: true)
      guard case .ordered = try pair.source.receive(pair.service.outgoing(order.frame())) else {
        throw Unexpected()
      }
    }
  }

  @Test("a frame that is changed anywhere, repeated, left out, or not sealed is refused")
  func changes() throws {
    var random = SeededGenerator(for: "changes of sealed frames")
    let start = try opened()
    var said = start.service
    let order = Order(assignment: welcome.assignment, isNow: true).frame()
    let (first, second) = (said.outgoing(order), said.outgoing(order))
    func refused(_ frames: Frame...) -> Bool {
      var source = start.source
      do {
        for frame in frames { _ = try source.receive(frame) }
        return false
      } catch { return error.code == .forged }
    }
    #expect(!refused(first, second))
    #expect(refused(second) && refused(first, first) && refused(order))
    for place in first.payload.indices {
      var bad = first
      bad.payload[place] ^= UInt8(random.number(1..<256))
      #expect(refused(bad), "byte \(place)")
    }
    var other = first
    other.type = MessageType.stored.rawValue
    #expect(refused(other))
    // Words of another session, although of the same two.
    #expect(refused(try opened().service.outgoingCopy(order)))
  }

  @Test("an answer to another question than the one that was asked is refused")
  func swappedAnswers() throws {
    var pair = try opened()
    var elsewhere = query
    elsewhere.blocks = 3..<6
    let asked = try pair.source.outgoing(pair.source.ask(query))
    // The relay can't ask something else in the agent's name,
    var service = pair.service
    #expect(throws: ProtocolError.self) { try service.receive(elsewhere.frame()) }
    _ = try pair.service.receive(asked)
    let answer = pair.service.outgoing(Digests(sequence: .zero, digests: [nil]).frame())
    // nor pass an answer for one to another question.
    var source = try opened().source
    _ = try source.ask(elsewhere)
    #expect(throws: ProtocolError.self) { try source.receive(answer) }
    #expect(throws: Never.self) { try pair.source.receive(answer) }
  }

  @Test("a relay can't be the service, welcome, acknowledge, order, or send an agent away for good")
  func inventions() throws {
    var random = SeededGenerator(for: "inventions of relays")
    for frame in [
      Introduction(certificate: [1, 2]).frame(), welcome.frame(),
      Refusal(.epoch, "fence").frame(), Refusal(.moved, "", place: .service).frame(),
    ] {
      var pair = pair()
      _ = pair.source.start()
      #expect(throws: ProtocolError.self) { try pair.source.receive(frame) }
    }
    var pair = try opened()
    _ = try pair.source.send(group(3))
    for frame in [
      Stored(through: SequenceNumber(rawValue: 3)).frame(),
      Digests(sequence: .zero, digests: []).frame(), Introduction(certificate: [1]).frame(),
      Order(assignment: welcome.assignment, isNow: true).frame(), Refusal(.unknown, "").frame(),
    ] {
      var source = pair.source
      #expect(throws: ProtocolError.self) { try source.receive(frame) }
      var signed = frame
      (signed.flags, signed.payload) = (Seal.flag, [40, 0] + random.bytes(40) + frame.payload)
      source = pair.source
      #expect(throws: ProtocolError.self) { try source.receive(signed) }
    }
    // That it is busy itself, it may say.
    guard case .refused = try pair.source.receive(Refusal(.unavailable, "").frame()) else {
      throw Unexpected()
    }
  }

  @Test("an unsigned hello, report or query that a relay brings is refused, and so is an old group")
  func unsigned() throws {
    var pair = pair()
    var hello = try Hello(pair.source.start())
    hello.held = SequenceNumber(rawValue: 7)
    #expect(throws: ProtocolError.self) { try pair.service.receive(hello.frame()) }
    for frame in [Report(activity: .waiting).frame(), query.frame()] {
      var service = try opened().service
      #expect(throws: ProtocolError.self) { try service.receive(frame) }
    }
    // A group of one session is of no use in the next, nor when an old session is drained in its place.
    var (first, second) = (try opened(), try opened())
    let old = try first.source.send(group(1))
    #expect { try second.service.receive(old) } throws: {
      ($0 as? ProtocolError)?.code == .forged
    }
    var drain = VaultSession(
      draining: VaultSession.Terms(
        vault: vault, machine: machine, epoch: 0, session: .random(), window: 1 << 20),
      isSigned: { $1 == Self.agentKey + $0 })
    #expect(throws: ProtocolError.self) { try drain.receive(old) }
  }

  @Test("whatever a relay sends, neither end traps, and random bytes convince nobody")
  func fuzz() throws {
    var random = SeededGenerator(for: "sealed sessions")
    for _ in 0..<Count.of("TIDEMARK_FUZZ", normally: 3000) / 10 {
      var pair = random.once(in: 2) ? try opened() : pair()
      for _ in 0..<10 {
        let type = MessageType.allCases[random.number(0..<MessageType.allCases.count)]
        let frame = Frame(
          type: type.rawValue, flags: UInt8(random.number(0..<3)),
          payload: random.bytes(random.number(0..<120)))
        _ = Seal.content(of: frame)
        _ = try? RelayHello(frame)
        _ = try? RelayStatus(frame)
        _ = try? RelayOrders(frame)
        _ = try? pair.service.receive(frame)
        if case .stored? = try? pair.source.receive(frame) { Issue.record("\(frame)") }
      }
    }
  }
}

extension VaultSession {
  /// What it would send, without having sent it.
  fileprivate func outgoingCopy(_ frame: Frame) -> Frame {
    var copy = self
    return copy.outgoing(frame)
  }
}
