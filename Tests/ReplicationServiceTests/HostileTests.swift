import Bytes
import FileIO
import Glibc
import Identity
import Replication
import Support
import Testing

@testable import ReplicationService

/// Goal: no peer harms the service or another peer, whatever it sends or does not send, and what it
/// costs is bounded. Method: raw sockets and ill-behaved clients.
@Suite(.serialized) struct HostileTests {
  /// A plain TCP connection.
  private final class Socket {
    let descriptor: Int32

    init(_ port: Int) throws {
      descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
      var name = sockaddr_in()
      name.sin_family = sa_family_t(AF_INET)
      name.sin_port = UInt16(port).bigEndian
      name.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
      let code = withUnsafePointer(to: &name) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
      }
      try #require(code == 0)
    }

    deinit { close(descriptor) }

    func send(_ bytes: [UInt8]) { _ = Glibc.send(descriptor, bytes, bytes.count, 0x4000) }

    /// Whether the peer ends the connection within so many seconds.
    func isEnded(within seconds: Double) -> Bool {
      Program.poll(seconds: seconds) {
        var bytes = [UInt8](repeating: 0, count: 4096)
        let got = recv(descriptor, &bytes, bytes.count, Int32(MSG_DONTWAIT))
        return got == 0 || (got < 0 && errno != EAGAIN)
      }
    }
  }

  private func stillServes(_ bench: ServiceBench, _ service: Service) throws {
    let connection = try bench.client().connect(service.port)
    try connection.send(Frame(type: 42), within: .seconds(5))
    #expect(try connection.receive(within: .seconds(5)).type == 42)
    connection.close()
  }

  @Test("whatever is sent instead of TLS, the connection ends and the service goes on")
  func garbage() throws {
    let bench = try ServiceBench()
    var settings = ServiceBench.quick
    settings.handshakeTime = .milliseconds(500)
    settings.reportInterval = .milliseconds(300)
    let service = try bench.service(settings, recorder: .echo)
    var random = SeededGenerator(for: "garbage")
    for round in 0..<40 {
      let socket = try Socket(service.port)
      switch round % 4 {
      case 0: socket.send(Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8))
      case 1: socket.send(random.bytes(random.number(1..<3000)))
      case 2: socket.send([0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3] + random.bytes(508))
      default: socket.send([0x16, 3, 1, 0xFF, 0xFF] + random.bytes(100))
      }
      #expect(socket.isEnded(within: 5), "round \(round)")
    }
    try stillServes(bench, service)
    let told = Program.poll(seconds: 5) { service.reports.map(\.count).reduce(0, +) >= 40 }
    #expect(told, "\(service.reports)")
    #expect(service.reports.count < 40, "refusals are put together")
    #expect(service.recorder.seen.connections.count == 1)
  }

  @Test("what is no frame ends the connection with its fault, and only that one")
  func malformed() throws {
    let bench = try ServiceBench()
    let service = try bench.service(recorder: .echo)
    let client = try bench.client()
    let faults: [([UInt8], String)] = [
      ([0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0], "announced"), ([3, 0, 0, 0, 0, 0, 0, 0], "shortest"),
      ([4, 0, 0, 0, 0, 0, 1, 0], "reserved"), (Array("GET / HTTP/1.1\r\n".utf8), "announced"),
    ]
    for (index, (bytes, words)) in faults.enumerated() {
      let connection = try client.connect(service.port)
      try connection.send(Frame(type: 1), within: .seconds(5))
      #expect(try connection.receive(within: .seconds(5)).type == 1)
      connection.connection.write(bytes, [])
      #expect(failure { _ = try connection.receive(within: .seconds(5)) }?.code == .closed)
      #expect(service.recorder.ends(index + 1).last == .malformed)
      let message = service.recorder.seen.ends.last??.message ?? ""
      #expect(message.contains(words), "\(message)")
    }
    let cut = try client.connect(service.port)
    cut.connection.write([100, 0, 0, 0, 1, 0, 0, 0, 5], [])
    try cut.flush(within: .seconds(5))
    cut.close()
    #expect(service.recorder.ends(faults.count + 1).last == .closed)
    try stillServes(bench, service)
  }

  @Test("frames from a client that sends random bytes over good TLS never trap")
  func fuzz() throws {
    let bench = try ServiceBench()
    let service = try bench.service()
    let client = try bench.client()
    var random = SeededGenerator(for: "bytes over TLS")
    for round in 1...30 {
      let connection = try client.connect(service.port)
      for _ in 0..<random.number(1..<6) {
        connection.connection.write(random.bytes(random.number(1..<2000)), [])
      }
      try? connection.flush(within: .seconds(5))
      connection.close()
      #expect(service.recorder.ends(round).count == round)
    }
  }

  @Test("peers that say nothing, drip, or fall silent are let go of in time, each for its reason")
  func slowPeers() throws {
    let bench = try ServiceBench()
    var settings = ServiceBench.quick
    settings.handshakeTime = .milliseconds(400)
    settings.firstFrameTime = .milliseconds(400)
    settings.idleTime = .milliseconds(900)
    settings.frameTime = .milliseconds(1500)
    let service = try bench.service(settings, recorder: .echo)
    let client = try bench.client()
    let silent = try Socket(service.port)
    let half = try Socket(service.port)
    half.send([0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3])
    #expect(silent.isEnded(within: 5) && half.isEnded(within: 5))
    #expect(service.hasReported("handshake"))
    let mute = try client.connect(service.port)
    #expect(failure { _ = try mute.receive(within: .seconds(5)) }?.code == .closed)
    #expect(service.recorder.ends(1).last == .timedOut)
    let idle = try client.connect(service.port)
    try idle.send(Frame(type: 1), within: .seconds(5))
    #expect(try idle.receive(within: .seconds(5)).type == 1)
    #expect(failure { _ = try idle.receive(within: .seconds(5)) }?.code == .closed)
    #expect(service.recorder.ends(2).last == .timedOut)
    #expect(service.recorder.seen.ends.last??.message.contains("heartbeat") == true)
    let dripping = try client.connect(service.port)
    try dripping.send(Frame(type: 1), within: .seconds(5))
    dripping.connection.write([200, 0, 0, 0, 1, 0, 0, 0], [])
    let ended = Program.poll(seconds: 8) {
      dripping.connection.write([0], [])
      usleep(100_000)
      return service.recorder.seen.ends.count == 3
    }
    #expect(ended)
    #expect(service.recorder.seen.ends.last??.message.contains("whole frame") == true)
  }

  @Test("too many connections, in all or from one address, are refused, and room is used again")
  func tooMany() throws {
    let bench = try ServiceBench()
    for isTotal in [true, false] {
      var settings = ServiceBench.quick
      settings.maximumConnections = isTotal ? 3 : 100
      settings.maximumPerAddress = isTotal ? 100 : 3
      let service = try bench.service(settings, recorder: .echo)
      let client = try bench.client()
      let taken = try (0..<3).map { _ in try client.connect(service.port) }
      #expect(service.recorder.hasConnected(3))
      for _ in 0..<5 {
        let told = failure { _ = try client.connect(service.port) }?.code
        #expect(told == .handshake || told == .closed, "\(String(describing: told))")
      }
      #expect(service.hasReported(isTotal ? "in all" : "from its address"))
      taken[0].close()
      #expect(Program.poll(seconds: 5) { service.listener.connectionCount == 2 })
      try stillServes(bench, service)
      #expect(service.reports.count <= 2)
    }
  }

  @Test("idle connections cost bounded memory, and the service answers beside them")
  func idleConnections() async {
    // In a process of its own: what other suites use meanwhile is not counted.
    await #expect(processExitsWith: .success) { try HostileTests().measureIdleConnections() }
  }

  private func measureIdleConnections() throws {
    let count = Count.of("TIDEMARK_CONNECTIONS", normally: 100)
    FileSystem.raiseOpenFileLimit()
    let bench = try ServiceBench()
    var settings = ServiceBench.quick
    (settings.maximumConnections, settings.maximumPerAddress) = (count + 10, count + 10)
    settings.firstFrameTime = .seconds(300)
    let service = try bench.service(settings, recorder: .echo)
    let client = try bench.client()
    try stillServes(bench, service)
    let before = try residentKiB()
    var connections: [ClientConnection] = []
    for _ in 0..<count { connections.append(try client.connect(service.port)) }
    #expect(service.recorder.hasConnected(count + 1))
    let each = (try residentKiB() - before) / count
    print("\(count) idle connections: \(each) KiB each, for both ends together")
    #expect(each < 400)
    try stillServes(bench, service)
    for connection in connections { connection.close() }
    #expect(Program.poll(seconds: 20) { service.listener.connectionCount == 0 })
  }

  /// What this process holds in memory.
  private func residentKiB() throws -> Int {
    let text = try Program.require("grep", "VmRSS", "/proc/\(getpid())/status")
    return try #require(Int(text.split(separator: " ").dropLast().last ?? ""))
  }
}
