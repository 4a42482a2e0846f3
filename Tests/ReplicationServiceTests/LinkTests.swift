import Bytes
import Identity
import Replication
import Support
import Testing

@testable import ReplicationService

/// Goal: a bad network is an error within bounded time that says what happened, and a client comes back
/// by itself. Method: a proxy that delays, stalls, cuts, resets and limits.
@Suite(.serialized) struct LinkTests {
  @Test("a slow and narrow link carries everything, only later")
  func slowLink() throws {
    let bench = try ServiceBench()
    let service = try bench.service(recorder: .echo)
    let link = try FaultyLink(to: service.port)
    link.delay(0.05)
    let connection = try bench.client().connect(link.port)
    let clock = ContinuousClock()
    let small = try clock.measure {
      try connection.send(Frame(type: 1), within: .seconds(5))
      #expect(try connection.receive(within: .seconds(5)).type == 1)
    }
    #expect(small >= .milliseconds(100), "\(small)")
    link.delay(0)
    link.limit(bytesPerSecond: 1_000_000)
    let frame = Frame(type: 2, payload: [UInt8](repeating: 3, count: 300_000))
    let large = try clock.measure {
      try connection.send(frame, within: .seconds(5))
      #expect(try connection.receive(within: .seconds(10)) == frame)
    }
    #expect(large >= .milliseconds(300), "\(large)")
    let isCounted = Program.poll(seconds: 5) {
      link.bytesForward > 300_000 && link.bytesBackward > 300_000
    }
    #expect(isCounted)
    #expect(link.connections == 1)
  }

  @Test("a link that stalls is given up by both ends after their idle time")
  func stalledLink() throws {
    let bench = try ServiceBench()
    var settings = ServiceBench.quick
    settings.idleTime = .milliseconds(700)
    let service = try bench.service(settings, recorder: .echo)
    let link = try FaultyLink(to: service.port)
    var limits = ClientSettings()
    limits.idleTime = .milliseconds(700)
    let connection = try bench.client(settings: limits).connect(link.port)
    try connection.send(Frame(type: 1), within: .seconds(5))
    #expect(try connection.receive(within: .seconds(5)).type == 1)
    link.stall()
    try connection.send(Frame(type: 2), within: .seconds(5))
    #expect(failure { _ = try connection.receive(within: .seconds(5)) }?.code == .timedOut)
    #expect(failure { try connection.send(Frame(type: 3), within: .seconds(5)) }?.code == .timedOut)
    #expect(service.recorder.ends(1) == [.timedOut])
    #expect(service.recorder.seen.frames.count == 1)
  }

  @Test("a stall that ends in time does no harm")
  func shortStall() throws {
    let bench = try ServiceBench()
    let service = try bench.service(recorder: .echo)
    let link = try FaultyLink(to: service.port)
    let connection = try bench.client().connect(link.port)
    link.stall()
    try connection.send(Frame(type: 1), within: .seconds(5))
    #expect(failure { _ = try connection.receive(within: .milliseconds(300)) }?.code == .timedOut)
    link.resume()
    #expect(try connection.receive(within: .seconds(5)).type == 1)
  }

  @Test("a link that is cut or reset ends the connection at both ends, and a new one works")
  func brokenLink() throws {
    let bench = try ServiceBench()
    let service = try bench.service(recorder: .echo)
    let link = try FaultyLink(to: service.port)
    let client = try bench.client()
    for (index, breakIt) in [link.cut, link.reset].enumerated() {
      let connection = try client.connect(link.port)
      try connection.send(Frame(type: 1), within: .seconds(5))
      #expect(try connection.receive(within: .seconds(5)).type == 1)
      breakIt()
      #expect(failure { _ = try connection.receive(within: .seconds(5)) }?.code == .closed)
      #expect(service.recorder.ends(index + 1).last == .closed)
    }
    #expect(Program.poll(seconds: 5) { link.liveConnections == 0 })
    try client.connect(link.port).close()
    let moved = try bench.service(recorder: .echo)
    link.redirect(to: moved.port)
    try client.connect(link.port).close()
    #expect(moved.recorder.hasConnected(1))
  }

  @Test("what fails in connecting is told apart, in time")
  func connecting() throws {
    let bench = try ServiceBench()
    let client = try bench.client()
    let service = try bench.service()
    let link = try FaultyLink(to: service.port)
    link.stall()
    let clock = ContinuousClock()
    let time = clock.measure {
      let told = failure { _ = try client.connect(link.port, within: .milliseconds(500)) }
      #expect(told?.code == .timedOut)
    }
    #expect(time < .seconds(2), "\(time)")
    link.resume()
    link.refuse(true)
    for _ in 0..<20 {
      let told = failure { _ = try client.connect(link.port) }
      let code = told?.code
      #expect(code == .handshake || code == .closed, "\(String(describing: told))")
    }
    // A port that was in use may be another test's at once; nobody listens on the first one.
    #expect(failure { _ = try client.connect(1) }?.code == .refused)
    for (host, port) in [("no.such.host.invalid", 9443), ("127.0.0.1", 0), ("127.0.0.1", 70000)] {
      let told = failure { _ = try client.connect(to: host, port: port, within: .seconds(20)) }
      #expect(told?.code == .unreachable, "\(host):\(port) \(String(describing: told))")
    }
  }

  @Test("a client goes on trying until the service is there, or it is told to stop")
  func persistence() throws {
    let bench = try ServiceBench()
    let client = try bench.client()
    let service = try bench.service(recorder: .echo)
    let link = try FaultyLink(to: service.port)
    link.refuse(true)
    var (backoff, failures) = (Backoff(), 0)
    let connection = try client.connectPersistently(
      to: "127.0.0.1", port: link.port, attempt: .seconds(5), backoff: &backoff,
      cancellation: Cancellation()
    ) { _, pause in
      failures += 1
      link.refuse(false)
      #expect(pause < .seconds(2))
      return true
    }
    #expect(failures == 1)
    connection.close()
    link.refuse(true)
    let cancellation = Cancellation()
    let told = failure {
      _ = try client.connectPersistently(
        to: "127.0.0.1", port: link.port, attempt: .seconds(5), backoff: &backoff,
        cancellation: cancellation
      ) { _, _ in
        cancellation.cancel()
        return true
      }
    }
    #expect(told?.code == .cancelled && cancellation.isCancelled)
    let last = failure {
      _ = try client.connectPersistently(
        to: "127.0.0.1", port: link.port, attempt: .seconds(5), backoff: &backoff,
        cancellation: Cancellation()
      ) { _, _ in false }
    }
    #expect(last != nil && last?.code != .cancelled)
  }

  @Test("a port in use is an error that names it, and stopping tells every handler")
  func stopping() throws {
    let bench = try ServiceBench()
    let service = try bench.service()
    var settings = ServiceBench.quick
    settings.port = service.port
    let told = failure { _ = try bench.service(settings) }
    #expect(told?.code == .address && told?.message.contains("\(service.port)") == true)
    settings.port = 65536
    #expect(failure { _ = try bench.service(settings) }?.code == .address)
    let client = try bench.client()
    let connections = try (0..<5).map { _ in try client.connect(service.port) }
    #expect(service.recorder.hasConnected(5))
    try service.listener.stop(within: .seconds(10))
    #expect(service.recorder.seen.ends.count == 5)
    for connection in connections {
      #expect(failure { _ = try connection.receive(within: .seconds(5)) }?.code == .closed)
    }
    #expect(service.port == 0)
  }

  @Test("without an address a service listens on all the host has, IPv4 and IPv6")
  func anyAddress() throws {
    let bench = try ServiceBench()
    var settings = ListenerSettings()
    settings.port = 0
    let service = try bench.service(settings)
    let connection = try bench.client().connect(service.port)
    #expect(service.recorder.hasConnected(1))
    #expect(service.recorder.seen.connections.first?.address == "127.0.0.1")
    connection.close()
    // Only where the host has IPv6 at all is `::1` its own.
    let interfaces = try Program.run("cat", "/proc/net/if_inet6").output
    guard interfaces.contains(" lo") else { return }
    try bench.client().connect(to: "::1", port: service.port, within: .seconds(5)).close()
    #expect(service.recorder.hasConnected(2))
  }
}
