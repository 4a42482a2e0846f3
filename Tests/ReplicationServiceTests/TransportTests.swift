import Bytes
import Glibc
import Identity
import Replication
import Support
import Testing

@testable import ReplicationService

/// Goal: frames cross whole, in order, and only as fast as the other end takes them. Method: real TLS on
/// loopback.
@Suite(.serialized) struct TransportTests {
  @Test("frames of all sizes cross both ways, in order, and both ends know who the other is")
  func echo() throws {
    let bench = try ServiceBench()
    let service = try bench.service(recorder: .echo)
    let machine = Identifier.random()
    let connection = try bench.client(.agent(machine)).connect(service.port)
    #expect(connection.peer.role == .service && connection.peer.vault == bench.vault)
    var random = SeededGenerator(for: "frames")
    let sizes = [0, 1, 4096, 65536, 1 << 20, Frame.largestPayload, 17]
    let sent = sizes.enumerated().map { index, size in
      Frame(type: UInt8(index), flags: 0xA5, payload: random.bytes(size))
    }
    for frame in sent {
      try connection.send(frame, within: .seconds(10))
      #expect(try connection.receive(within: .seconds(10)) == frame)
    }
    for number in 0..<2000 {
      let frame = Frame(type: UInt8(number & 255), payload: [UInt8(number >> 8)])
      try connection.send(frame, within: .seconds(10))
    }
    for number in 0..<2000 {
      let frame = try connection.receive(within: .seconds(10))
      #expect(frame.type == UInt8(number & 255) && frame.payload == [UInt8(number >> 8)])
    }
    #expect(service.listener.peers.map(\.role) == [.agent(machine)])
    #expect(service.recorder.seen.connections.first?.address == "127.0.0.1")
    connection.close()
    #expect(service.recorder.ends(1) == [nil])
    #expect(Program.poll(seconds: 5) { service.listener.connectionCount == 0 })
    #expect(failure { _ = try connection.receive(within: .seconds(1)) }?.code == .cancelled)
    #expect(
      failure { try connection.send(Frame(type: 0), within: .seconds(1)) }?.code == .cancelled)
  }

  @Test("a payload too long for a frame is refused by the sender, and the connection lives on")
  func tooLong() throws {
    let bench = try ServiceBench()
    let service = try bench.service(recorder: .echo)
    let connection = try bench.client().connect(service.port)
    let payload = [UInt8](repeating: 0, count: Frame.largestPayload + 1)
    let long = Frame(type: 0, payload: payload)
    #expect(failure { try connection.send(long, within: .seconds(1)) }?.code == .malformed)
    try connection.send(Frame(type: 3), within: .seconds(1))
    #expect(try connection.receive(within: .seconds(5)).type == 3)
    #expect(failure { _ = try connection.receive(within: .zero) }?.code == .timedOut)
  }

  @Test("what was received before the end is handed over before the end is told")
  func endComesLast() throws {
    let bench = try ServiceBench()
    let recorder = Recorder { _, _ in usleep(2000) }
    let service = try bench.service(recorder: recorder)
    let connection = try bench.client().connect(service.port)
    for number in 0..<100 { try connection.send(Frame(type: UInt8(number)), within: .seconds(5)) }
    try connection.flush(within: .seconds(5))
    connection.close()
    #expect(recorder.ends(1) == [nil])
    #expect(recorder.seen.frames.map(\.type) == (0..<100).map { UInt8($0) })
  }

  @Test(
    "while a handler is slow no more than a bounded number of bytes is taken in, and none is lost")
  func slowHandler() throws {
    let bench = try ServiceBench()
    let gate = Mutexed(true)
    let recorder = Recorder(keepsPayloads: false) { _, _ in
      while gate.value { usleep(1000) }
    }
    var settings = ServiceBench.quick
    settings.unconsumedBytes = 1 << 20
    var limits = ClientSettings()
    limits.unsentBytes = 1 << 20
    let service = try bench.service(settings, recorder: recorder)
    let connection = try bench.client(settings: limits).connect(service.port)
    let payload = [UInt8](repeating: 7, count: 65536)
    var sent = 0
    while sent < 2000 {
      let frame = Frame(type: UInt8(sent & 255), payload: payload)
      let told = failure { try connection.send(frame, within: .milliseconds(400)) }
      if let told {
        #expect(told.code == .timedOut)
        break
      }
      sent += 1
    }
    // Both ends' limits, what TLS and the read in progress hold, and the kernel's socket buffers.
    #expect(sent * payload.count < 24 << 20, "\(sent) frames were taken in")
    #expect(!connection.isWritable)
    gate.change { $0 = false }
    for _ in 0..<100 {
      try connection.send(Frame(type: UInt8(sent & 255), payload: payload), within: .seconds(10))
      sent += 1
    }
    #expect(Program.poll(seconds: 20) { recorder.seen.frames.count == sent })
    #expect(recorder.seen.frames.map(\.type) == (0..<sent).map { UInt8($0 & 255) })
    #expect(recorder.seen.ends.isEmpty)
  }

  @Test("a client that does not receive stops the service's sending, and no other connection's")
  func slowClient() throws {
    let bench = try ServiceBench()
    var settings = ServiceBench.quick
    settings.unsentBytes = 1 << 20
    let counts = Mutexed((sent: 0, error: TransportError?.none))
    let recorder = Recorder { frame, connection in
      guard frame.type == 1 else {
        return { try? connection.send(frame, within: .seconds(5)) }()
      }
      let payload = [UInt8](repeating: 1, count: 65536)
      for _ in 0..<2000 {
        let told = failure {
          try connection.send(Frame(type: 9, payload: payload), within: .milliseconds(400))
        }
        counts.change { told == nil ? ($0.sent += 1) : ($0.error = told) }
        if told != nil { return }
      }
    }
    let service = try bench.service(settings, recorder: recorder)
    var limits = ClientSettings()
    limits.unconsumedBytes = 1 << 20
    let deaf = try bench.client(settings: limits).connect(service.port)
    let other = try bench.client().connect(service.port)
    try deaf.send(Frame(type: 1), within: .seconds(5))
    for _ in 0..<50 {
      try other.send(Frame(type: 2), within: .seconds(5))
      #expect(try other.receive(within: .seconds(5)).type == 2)
    }
    #expect(Program.poll(seconds: 10) { counts.value.error != nil })
    #expect(counts.value.error?.code == .timedOut)
    #expect(counts.value.sent * 65536 < 24 << 20, "\(counts.value.sent) frames were taken")
    for _ in 0..<counts.value.sent {
      #expect(try deaf.receive(within: .seconds(5)).type == 9)
    }
  }

  @Test("a handler that blocks delays no other connection's")
  func blockedHandler() throws {
    let bench = try ServiceBench()
    let gate = Mutexed(true)
    let recorder = Recorder { frame, connection in
      if frame.type == 1 { while gate.value { usleep(1000) } }
      try? connection.send(frame, within: .seconds(5))
    }
    let service = try bench.service(recorder: recorder)
    let client = try bench.client()
    let blocked = try (0..<8).map { _ in try client.connect(service.port) }
    for connection in blocked { try connection.send(Frame(type: 1), within: .seconds(5)) }
    let free = try client.connect(service.port)
    for _ in 0..<20 {
      try free.send(Frame(type: 2), within: .seconds(5))
      #expect(try free.receive(within: .seconds(5)).type == 2)
    }
    gate.change { $0 = false }
    for connection in blocked { #expect(try connection.receive(within: .seconds(5)).type == 1) }
  }

  @Test("a handler is told once when nothing waits any more, after all frames that came together")
  func rest() throws {
    let bench = try ServiceBench()
    let gate = Mutexed(true)
    let recorder = Recorder { frame, _ in
      if frame.type == 1 { while gate.value { usleep(1000) } }
    }
    let service = try bench.service(recorder: recorder)
    let client = try bench.client().connect(service.port)
    try client.send(Frame(type: 1), within: .seconds(5))
    // More than a turn's, so that it is told only once even so.
    for _ in 0..<40 { try client.send(Frame(type: 2), within: .seconds(5)) }
    try client.flush(within: .seconds(5))
    usleep(300_000)
    gate.change { $0 = false }
    #expect(Program.poll(seconds: 10) { !recorder.seen.rests.isEmpty })
    #expect(recorder.seen.rests == [41])
    try client.send(Frame(type: 2), within: .seconds(5))
    #expect(Program.poll(seconds: 10) { recorder.seen.rests == [41, 42] })
  }

  @Test("a rate is kept, for all connections of a client together, and changes at once")
  func rate() throws {
    let bench = try ServiceBench()
    let recorder = Recorder(keepsPayloads: false)
    let service = try bench.service(recorder: recorder)
    let rate = RateLimit(bytesPerSecond: 1 << 20)
    let client = try bench.client(rate: rate)
    let (one, two) = (try client.connect(service.port), try client.connect(service.port))
    let frame = Frame(type: 0, payload: [UInt8](repeating: 0, count: 300_000))
    let clock = ContinuousClock()
    let slow = try clock.measure {
      try one.send(frame, within: .seconds(10))
      try two.send(frame, within: .seconds(10))
      try one.send(frame, within: .seconds(10))
    }
    #expect(slow > .milliseconds(500) && slow < .seconds(3), "\(slow)")
    rate.bytesPerSecond = nil
    let fast = try clock.measure {
      for _ in 0..<20 { try one.send(frame, within: .seconds(10)) }
    }
    #expect(fast < .seconds(2), "\(fast)")
    rate.bytesPerSecond = 1000
    let told = failure { try two.send(frame, within: .milliseconds(300)) }
    #expect(told?.code == .timedOut)
    #expect(Program.poll(seconds: 10) { recorder.seen.bytes >= 23 * 300_000 })
    #expect(
      failure { try two.send(frame, within: .seconds(1)) } != nil, "half a frame ends a connection")
  }

  @Test("the token bucket lets through what its rate allows, whatever the sizes")
  func bucket() {
    let limit = RateLimit(bytesPerSecond: 1000)
    var random = SeededGenerator(for: "bucket")
    let start = ContinuousClock.now
    var (now, sent) = (start, 0)
    while now - start < .seconds(600) {
      let size = random.number(1..<5000)
      if let pause = limit.take(size, at: now) {
        #expect(pause > .zero)
        now += pause
      } else {
        sent += size
        #expect(sent <= Int((now - start).seconds * 1000) + 5000 + 100)
      }
    }
    #expect(sent > 590_000)
    limit.bytesPerSecond = 0
    #expect(limit.bytesPerSecond == 1)
  }

  @Test("waits between attempts double up to a minute and are never equal for long")
  func backoff() {
    var random = SeededGenerator(for: "back-off")
    var backoff = Backoff()
    for seconds in [1, 2, 4, 8, 16, 32, 60, 60, 60] as [Double] {
      let wait = backoff.next(using: &random).seconds
      #expect((seconds * 0.8...seconds * 1.2).contains(wait))
    }
    backoff.reset()
    #expect(backoff.next(using: &random).seconds <= 1.2)
    var (one, two) = (Backoff(), Backoff())
    #expect((0..<9).contains { _ in one.next() != two.next() })
  }
}
