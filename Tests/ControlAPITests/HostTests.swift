import Bytes
import FileIO
import Foundation
import Operations
import Support
import Testing

@testable import ControlAPI

/// A time source of this host whose clock is off, on a thread of its own.
final class FakeTimeSource: Sendable {
  let port: UInt16
  private let descriptor: Int32

  /// Its clock is ahead by so many seconds; `spoil` changes its answers.
  init(ahead seconds: Int64, spoil: @escaping @Sendable (inout [UInt8]) -> Void = { _ in }) throws {
    let descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
    self.descriptor = descriptor
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = inet_addr("127.0.0.1")
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let bound = withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, $0, size) == 0 && getsockname(descriptor, $0, &size) == 0
      }
    }
    guard bound else { throw IOError("bind", "a port", code: errno) }
    port = UInt16(bigEndian: address.sin_port)
    Thread.detachNewThread { Self.serve(descriptor, seconds, spoil) }
  }

  deinit { shutdown(descriptor, Int32(SHUT_RDWR)) }

  private static func serve(
    _ descriptor: Int32, _ ahead: Int64, _ spoil: (inout [UInt8]) -> Void
  ) {
    defer { close(descriptor) }
    var request = [UInt8](repeating: 0, count: 100)
    var peer = sockaddr()
    var size = socklen_t(MemoryLayout<sockaddr>.size)
    while recvfrom(descriptor, &request, request.count, 0, &peer, &size) == TimePacket.length {
      let now = UInt64(Timestamp.now().seconds + ahead + 2_208_988_800) << 32
      let time = (0..<8).map { UInt8(truncatingIfNeeded: now >> UInt64(56 - 8 * $0)) }
      var answer = [UInt8](repeating: 0, count: 24) + request[40..<48] + time + time
      (answer[0], answer[1]) = (0b00_100_100, 2)
      spoil(&answer)
      sendto(descriptor, answer, answer.count, 0, &peer, size)
    }
  }
}

/// Goal: the host check tells a clock that is off from one that is right, whoever answers. Method: a
/// real time source on this host.
@Suite struct HostTests {
  @Test("the offset of a clock is measured, and five minutes are the limit")
  func offsets() throws {
    for (ahead, verdict) in [
      (Int64(0), HostFinding.Verdict.ok), (200, .ok), (-200, .ok), (360, .refused),
      (-360, .refused),
    ] {
      let fake = try FakeTimeSource(ahead: ahead)
      let source = try #require(TimeSource("127.0.0.1:\(fake.port)"))
      let offset = try #require(source.offset(within: 5))
      #expect(abs(offset / 1_000_000_000 - ahead) <= 2, "\(ahead): \(offset)")
      let finding = HostCheck.clock(offset: offset, source: source.host)
      #expect(finding.verdict == verdict)
      if verdict == .refused { #expect(finding.advice?.contains("Set the clock") == true) }
    }
  }

  @Test(
    "an answer to somebody else, of a server that knows no time, or of other bytes counts for none")
  func badAnswers() throws {
    let spoilers: [@Sendable (inout [UInt8]) -> Void] = [
      { $0[24] ^= 1 }, { $0[1] = 0 }, { $0[1] = 16 }, { $0[0] |= 0b1100_0000 }, { $0[0] = 0x23 },
      { $0.removeLast() }, { $0.replaceSubrange(40..<48, with: [UInt8](repeating: 0, count: 8)) },
    ]
    for spoil in spoilers {
      let fake = try FakeTimeSource(ahead: 0, spoil: spoil)
      let source = try #require(TimeSource("127.0.0.1:\(fake.port)"))
      #expect(source.offset(within: 1) == nil)
    }
  }

  @Test("nobody who answers is no reason to refuse, and takes no longer than it may")
  func silence() throws {
    let start = ContinuousClock.now
    let source = try #require(TimeSource("127.0.0.1:1"))
    #expect(source.offset(within: 1) == nil)
    #expect(ContinuousClock.now - start < .seconds(3))
    #expect(HostCheck.clock(offset: nil, source: "x").verdict == .ok)
    #expect(TimeSource("") == nil && TimeSource("a:b") == nil && TimeSource("a:1:2") == nil)
    #expect(TimeSource("time.example")?.port == 123)
  }

  @Test("a port that is in use is found")
  func ports() throws {
    let site = try Site("ports")
    #expect(PortProbe.finding(host: "127.0.0.1", port: site.port).verdict == .refused)
    #expect(PortProbe.finding(host: "127.0.0.1", port: 0).verdict == .ok)
    #expect(PortProbe.finding(host: "not an address", port: 1).verdict == .refused)
  }

  @Test("the page of ports lists those there are, with direction and purpose")
  func page() throws {
    let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let path = root.appending(path: "Sources/ControlAPI/ControlAPI.docc/Ports.md").path
    let page = try String(contentsOfFile: path, encoding: .utf8)
    let rows = page.split(separator: "\n").filter { $0.hasPrefix("| ") }.dropFirst().map(
      String.init)
    let expected = ServicePort.all.map {
      "| \($0.place.rawValue) | \($0.name) | \($0.direction.rawValue) | \($0.purpose) |"
    }
    #expect(rows == expected)
  }
}
