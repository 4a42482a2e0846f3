import Catalog
import FileIO
import Foundation
import Support
import Testing

@testable import ControlAPI

/// Goal: no peer costs the service more than its limits say, and the others are served meanwhile.
/// Method: raw connections that do what no honest client does.
@Suite struct LimitTests {
  /// Limits that a test can wait for.
  static var short: ServerLimits {
    var limits = ServerLimits()
    (limits.idleSeconds, limits.transferSeconds) = (2, 2)
    return limits
  }

  @Test("a body that is too long is refused, and the connection ends")
  func longBody() throws {
    let site = try Site("body")
    let body = [UInt8](repeating: 0x20, count: ServerLimits().body + 1)
    let connection = try RawConnection(path: site.socketPath)
    connection.send(
      "POST /v1/tokens HTTP/1.1\r\nHost: x\r\nContent-Length: \(body.count)\r\n\r\n")
    connection.send(body)
    let answer = try #require(connection.readToEnd(seconds: 10))
    #expect(answer.contains("413") && answer.contains("tooLarge"))
    #expect(try site.overSocket().isReachable())
  }

  @Test("a head that is too long, or has too many fields, is refused")
  func longHead() throws {
    let site = try Site("head")
    let long =
      "GET /v1/health HTTP/1.1\r\nHost: x\r\nX: \(String(repeating: "a", count: 20_000))\r\n\r\n"
    let many =
      "GET /v1/health HTTP/1.1\r\nHost: x\r\n"
      + (0..<100).map { "X\($0): a\r\n" }.joined() + "\r\n"
    for text in [long, many] {
      let connection = try RawConnection(path: site.socketPath)
      connection.send(text)
      let answer = try #require(connection.readToEnd(seconds: 10))
      #expect(!answer.contains("200"), "\(answer.prefix(200))")
    }
    #expect(try site.overSocket().isReachable())
  }

  @Test("peers that send a byte now and then are cut off in time, head, body or TLS alike")
  func slowPeers() throws {
    let site = try Site("slow", limits: Self.short)
    let head = try RawConnection(path: site.socketPath)
    let body = try RawConnection(path: site.socketPath)
    body.send("POST /v1/tokens HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
    let handshake = try RawConnection(port: site.port)
    handshake.send([0x16, 0x03])
    let start = ContinuousClock.now
    for byte in "GET /v1/health HTT".utf8 {
      head.send([byte])
      body.send([byte])
      guard ContinuousClock.now - start < .seconds(4) else { break }
      usleep(200_000)
    }
    #expect(head.readToEnd(seconds: 5) != nil)
    #expect(body.readToEnd(seconds: 5) != nil)
    #expect(handshake.readToEnd(seconds: 5) != nil)
    #expect(try site.overSocket().isReachable())
  }

  @Test("1,000 idle connections cost no one else anything, and end by themselves")
  func idleConnections() throws {
    FileSystem.raiseOpenFileLimit()
    let site = try Site("idle", limits: Self.short)
    let idle = try (0..<1000).map { _ in try RawConnection(port: site.port) }
    let start = ContinuousClock.now
    let transport = try site.overHTTPS(site.tokens[.reader])
    #expect(try transport.send("GET", "/v1/service", []).status == 200)
    #expect(ContinuousClock.now - start < .seconds(5))
    for connection in idle.suffix(50) { #expect(connection.readToEnd(seconds: 10) != nil) }
  }

  @Test("connections beyond the limit wait until others end")
  func connectionLimit() throws {
    var limits = Self.short
    limits.connections = 4
    let site = try Site("limit", limits: limits)
    let idle = try (0..<20).map { _ in try RawConnection(path: site.socketPath) }
    for connection in idle { #expect(connection.readToEnd(seconds: 30) != nil) }
    #expect(try site.overSocket().isReachable())
  }

  @Test("random bytes, broken requests and hostile paths harm nothing")
  func fuzz() throws {
    let site = try Site("fuzz", limits: Self.short)
    var random = SeededGenerator(for: "control API fuzz")
    let good = Array("POST /v1/machines HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}".utf8)
    for _ in 0..<100 {
      var bytes =
        Bool.random(using: &random) ? good : random.bytes(Int.random(in: 1...400, using: &random))
      for _ in 0..<Int.random(in: 1...8, using: &random) {
        bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(
          in: 0...255, using: &random)
      }
      let connection = try RawConnection(path: site.socketPath)
      connection.send(bytes)
    }
    let pieces = [
      "/", "v1", "machines", "..", "%", "%00", "%2F", "{name}", "?", "&", "=", "ä", "points",
      "latest",
    ]
    for _ in 0..<Count.of("TIDEMARK_FUZZ", normally: 3000) {
      let target = (0..<Int.random(in: 1...8, using: &random))
        .map { _ in pieces.randomElement(using: &random) ?? "" }.joined(separator: "/")
      let method = Endpoint.Method.allCases.randomElement(using: &random) ?? .get
      let answer = site.control.answer(
        ControlRequest(
          method: method.rawValue, target: target,
          body: random.bytes(Int.random(in: 0...40, using: &random)), caller: .bearer(nil)))
      #expect([200, 400, 401, 404, 405].contains(answer.status), "\(target): \(answer.status)")
    }
    #expect(try site.local().service().version == "1.2.3")
    #expect(try site.overSocket().isReachable())
  }

  /// Fields of the documents that callers send, and values that nobody should.
  private static let fields = [
    "name", "disks", "capture", "format", "label", "role", "validSeconds", "uses", "machine",
    "cycleSeconds", "applicationSeconds", "bandwidth", "exclude", "cloneFloor", "operatingSystem",
    "rpoSeconds", "address", "bandwidthHours", "resyncWindow", "names", "key", "clock", "request",
    "hostName", "addresses", "version",
  ]
  private static let values = [
    "null", "true", "-1", "0", "1", "1e300", "9223372036854775807", "-9223372036854775808",
    "18446744073709551616", "[]", "{}", "[[]]", "[-1]", "[65536]", "[\"/none\"]", "\"\"",
    "\"web01\"", "\"../x\"", "\"\\u0000\"", "\"\(String(repeating: "a", count: 5000))\"",
  ]

  @Test("whatever somebody asks who may do everything, the answer is one, and no failure of ours")
  func trustedFuzz() throws {
    let site = try Site("trusted-fuzz")
    var random = SeededGenerator(for: "control API fuzz by the trusted")
    let names = ["web01", "", "..", "%2e%2e", "%00", "a%2Fb", "7", "-1", "99999999999999999999"]
    var slowest = (time: Duration.zero, request: "")
    // Each writes to the catalog, so there are fewer of them.
    for _ in 0..<Count.of("TIDEMARK_FUZZ", normally: 3000) / 10 {
      guard let endpoint = Endpoint.all.randomElement(using: &random) else { return }
      var target = endpoint.path
      for parameter in ["{name}", "{id}", "{point}"] {
        target = target.replacing(parameter, with: names.randomElement(using: &random) ?? "")
      }
      if random.once(in: 4) {
        target += "?limit=" + (Self.values.randomElement(using: &random) ?? "")
      }
      let fields = (0..<random.number(0..<5)).map { _ in
        "\"\(Self.fields.randomElement(using: &random) ?? "")\":"
          + (Self.values.randomElement(using: &random) ?? "")
      }
      var body = Array("{\(fields.joined(separator: ","))}".utf8)
      if random.once(in: 8) { body[random.number(0..<body.count)] = UInt8(random.number(0..<256)) }
      let start = ContinuousClock.now
      let answer = site.control.answer(
        ControlRequest(
          method: endpoint.method.rawValue, target: target, body: body, caller: .trusted))
      let time = ContinuousClock.now - start
      if time > slowest.time { slowest = (time, "\(endpoint.method) \(target)") }
      #expect(
        (200..<500).contains(answer.status),
        "\(endpoint.method) \(target) \(String(decoding: body, as: UTF8.self)): \(answer.status)")
    }
    print("the slowest answer, to \(slowest.request), took \(slowest.time)")
    #expect(try site.local().service().version == "1.2.3")
  }
}
