import Bytes
import Codecs
import FileIO
import Support
import Synchronization
import Testing
import Vault

@testable import Replication

/// Goal: the two state machines understand each other, and neither believes what it should not.
struct SessionTests {
  private static let key: [UInt8] = [1, 2, 3]
  private let vault = Identifier.random()
  private let machine = Identifier.random()

  /// Signs by appending a secret; whoever lacks it can't.
  private var source: SourceSession {
    SourceSession(
      hello: Hello(
        release: "1", hostName: "web01", system: "Linux", addresses: [], clock: .now(),
        held: .zero, disks: []),
      sign: { Self.key + $0 })
  }

  private var service: VaultSession { VaultSession(isSigned: { $1 == Self.key + $0 }) }

  private func welcome(window: UInt32 = 8 << 20) -> Welcome {
    Welcome(
      version: 1, release: "1", clock: .now(), vault: vault, machine: machine, codec: .zstd,
      epoch: 0, position: .start, cycle: nil, hasUnmarkedWrites: false, hasCursor: false,
      disks: [], window: window, assignment: Assignment(state: .protected, disks: [0]))
  }

  private func opened(window: UInt32 = 8 << 20) throws -> (SourceSession, VaultSession) {
    var (source, service) = (source, service)
    guard case .greet = try service.receive(source.start()) else {
      throw Unexpected()
    }
    guard case .welcomed = try source.receive(service.welcome(welcome(window: window))) else {
      throw Unexpected()
    }
    return (source, service)
  }

  private struct Unexpected: Error {}

  private func group(_ last: UInt64, _ count: Int = 100) -> Group {
    Group(
      last: SequenceNumber(rawValue: last), end: .commit,
      records: [UInt8](repeating: 7, count: count))
  }

  @Test("a group is stored and acknowledged, and the window is free again")
  func normal() throws {
    var (source, service) = try opened()
    for last in UInt64(1)...20 {
      let frame = try source.send(group(last))
      #expect(source.inFlight > 0)
      guard case .store(let group) = try service.receive(frame) else { throw Unexpected() }
      #expect(service.pending > 0)
      let answer = service.stored(through: group.last, point: nil)
      guard case .stored(let stored) = try source.receive(answer) else { throw Unexpected() }
      #expect(stored.through == group.last && source.durable == group.last)
      #expect(source.inFlight == 0 && service.pending == 0)
    }
  }

  @Test("a group that can't be signed is not sent, and the session is over and says why")
  func unsigned() throws {
    var source = SourceSession(hello: try Hello(source.start())) { _ throws(ProtocolError) in
      throw ProtocolError(.unsigned, "no key")
    }
    _ = try source.receive(welcome().frame())
    #expect { try source.send(group(1)) } throws: {
      ($0 as? ProtocolError)?.code == .unsigned && "\($0)" == "no key"
    }
    #expect(source.inFlight == 0)
    #expect { try source.send(group(1)) } throws: { ($0 as? ProtocolError)?.code == .unexpected }
  }

  @Test("a renewal is asked for first and alone, and answered once")
  func renewal() throws {
    var service = service
    var wish = Renewal(certificate: "old", request: "new")
    wish.signature = [1, 2, 3]
    var asking = RenewalSession(wish)
    guard case .renew(let heard) = try service.receive(asking.start()) else { throw Unexpected() }
    #expect(heard == wish)
    #expect(throws: ProtocolError.self) { try service.receive(source.start()) }
    #expect(try asking.receive(Heartbeat(clock: .now()).frame()) == nil)
    let answer = Renewed(certificate: "newer")
    #expect(try asking.receive(answer.frame()) == .success(answer))
    #expect(throws: ProtocolError.self) { try asking.receive(answer.frame()) }
    var refused = RenewalSession(wish)
    let refusal = Refusal(.unknown, "who?")
    #expect(try refused.receive(refusal.frame()) == .failure(refusal))
    var (_, open) = try opened()
    #expect(throws: ProtocolError.self) { try open.receive(wish.frame()) }
    var other = wish
    other.request = "newest"
    #expect(other.digest != wish.digest)
  }

  @Test("one answer acknowledges all groups up to its number, and no later one")
  func together() throws {
    var (source, service) = try opened()
    for last in UInt64(1)...4 {
      _ = try service.receive(try source.send(group(last)))
    }
    let all = source.inFlight
    _ = try source.receive(
      service.stored(through: SequenceNumber(rawValue: 3), point: nil))
    #expect(source.durable == SequenceNumber(rawValue: 3))
    #expect(source.inFlight == all / 4 && service.pending == all / 4)
    _ = try source.receive(
      service.stored(through: SequenceNumber(rawValue: 4), point: nil))
    #expect(source.inFlight == 0 && service.pending == 0)
  }

  @Test("one changed byte anywhere in a signed group is noticed")
  func forgery() throws {
    var random = SeededGenerator(for: "forged groups")
    let (opened, waiting) = try opened()
    var source = opened
    let good = try source.send(group(5, 300))
    for place in good.payload.indices {
      var (bad, service) = (good, waiting)
      bad.payload[place] ^= UInt8(random.number(1..<256))
      #expect(throws: ProtocolError.self) { try service.receive(bad) }
      // Whatever comes after a breach is one too.
      #expect(throws: ProtocolError.self) { try service.receive(good) }
    }
  }

  @Test("a group of another vault, machine or epoch is a forgery")
  func strangers() throws {
    var other = SourceSession(
      hello: Hello(
        release: "1", hostName: "x", system: "", addresses: [], clock: .now(), held: .zero,
        disks: []), sign: { Self.key + $0 })
    var elsewhere = welcome()
    elsewhere.epoch = 1
    _ = try other.receive(elsewhere.frame())
    var (_, service) = try opened()
    let frame = try other.send(group(1))
    #expect { try service.receive(frame) } throws: { ($0 as? ProtocolError)?.code == .forged }
  }

  @Test("a group of an older epoch is told from a forgery, one of a newer epoch is none")
  func epochs() throws {
    for (own, theirs, code) in [
      (UInt32(5), UInt32(4), ProtocolError.Code.epoch), (5, 1, .epoch), (5, 0, .forged),
      (5, 6, .forged), (1, 0, .epoch), (0, .max, .forged),
    ] {
      var (source, service) = (source, service)
      var welcome = welcome()
      _ = try service.receive(source.start())
      welcome.epoch = own
      _ = service.welcome(welcome)
      welcome.epoch = theirs
      _ = try source.receive(welcome.frame())
      let frame = try source.send(group(1))
      #expect {
        try service.receive(frame)
      } throws: {
        ($0 as? ProtocolError)?.code == code
      }
    }
  }

  @Test("who sends more than the window is sent away")
  func window() throws {
    var (source, service) = try opened(window: 4000)
    #expect(source.hasRoom(for: 1000))
    _ = try service.receive(try source.send(group(1, 1000)))
    #expect(!source.hasRoom(for: 1000))
    let frame = try source.send(group(2, 2000))
    #expect { try service.receive(frame) } throws: { ($0 as? ProtocolError)?.code == .window }
  }

  @Test("what comes out of turn ends a session, whatever it is", arguments: MessageType.allCases)
  func outOfTurn(type: MessageType) throws {
    var service = service
    let frame = Frame(type: type.rawValue, payload: [])
    #expect(throws: ProtocolError.self) { try service.receive(frame) }
    var (source, _) = try opened()
    if type.rawValue < 64, type != .heartbeat {
      #expect(throws: ProtocolError.self) { try source.receive(frame) }
    }
    let early = try? Group(group(1).frame())
    #expect(early != nil)
  }

  @Test("a service that acknowledges what was never sent is not believed")
  func falseAcknowledgement() throws {
    var (source, _) = try opened()
    _ = try source.send(group(3))
    let lie = Stored(through: SequenceNumber(rawValue: 4)).frame()
    #expect(throws: ProtocolError.self) { try source.receive(lie) }
  }

  @Test("random frames in any order never trap, and a breach is final")
  func fuzz() throws {
    var random = SeededGenerator(for: "sessions")
    for _ in 0..<Count.of("TIDEMARK_FUZZ", normally: 3000) / 10 {
      var (source, service) = random.once(in: 2) ? try opened() : (source, service)
      for _ in 0..<10 {
        let type = MessageType.allCases[random.number(0..<MessageType.allCases.count)]
        let frame = Frame(type: type.rawValue, payload: random.bytes(random.number(0..<120)))
        _ = try? service.receive(frame)
        _ = try? source.receive(frame)
      }
    }
  }
}
