internal import Bytes
internal import Dispatch
internal import FileIO
internal import Glibc
internal import Synchronization

/// A server that tells the time by SNTP (RFC 5905, 14).
public struct TimeSource: Sendable {
  /// Its name or address.
  public let host: String
  /// Its UDP port.
  public let port: UInt16

  /// What NTP listens on.
  public static let usualPort: UInt16 = 123

  /// A server with its port behind a colon, if that is not NTP's own.
  public init?(_ text: String) {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count <= 2, let host = parts.first, !host.isEmpty else { return nil }
    guard parts.count == 2 else {
      (self.host, port) = (String(host), Self.usualPort)
      return
    }
    guard let port = UInt16(parts[1]) else { return nil }
    (self.host, self.port) = (String(host), port)
  }

  /// Nanoseconds its clock is ahead of this host's; nil if no sound answer came within `seconds`.
  ///
  /// Blocks no longer than that, whatever looking up the name takes.
  public func offset(within seconds: Int) -> Int64? {
    let answer = Answer()
    DispatchQueue(label: "tidemark.time").async { [self] in
      let offset = ask(seconds)
      answer.offset.withLock { $0 = offset }
      answer.isThere.signal()
    }
    guard answer.isThere.wait(timeout: .now() + .seconds(seconds)) == .success else { return nil }
    return answer.offset.withLock { $0 }
  }

  private final class Answer: Sendable {
    let offset = Mutex<Int64?>(nil)
    let isThere = DispatchSemaphore(value: 0)
  }

  private func ask(_ seconds: Int) -> Int64? {
    var hints = addrinfo()
    hints.ai_socktype = Int32(SOCK_DGRAM.rawValue)
    var found: UnsafeMutablePointer<addrinfo>?
    guard getaddrinfo(host, String(port), &hints, &found) == 0, let address = found else {
      return nil
    }
    defer { freeaddrinfo(found) }
    let descriptor = socket(
      address.pointee.ai_family, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var limit = timeval(tv_sec: seconds, tv_usec: 0)
    setsockopt(
      descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    guard connect(descriptor, address.pointee.ai_addr, address.pointee.ai_addrlen) == 0 else {
      return nil
    }
    let nonce = UInt64.random(in: 1...UInt64.max)
    let request = TimePacket.request(nonce: nonce)
    let sent = Timestamp.now()
    guard send(descriptor, request, request.count, 0) == request.count else { return nil }
    var reply = [UInt8](repeating: 0, count: TimePacket.length)
    guard recv(descriptor, &reply, reply.count, 0) == reply.count else { return nil }
    return TimePacket(reply, answering: nonce)?.offset(sent: sent, received: .now())
  }
}

/// The packet of SNTP, as far as a client needs it (RFC 5905, 7.3).
struct TimePacket {
  static let length = 48
  /// Seconds from 1900, where NTP's time begins, to 1970.
  private static let epoch: Int64 = 2_208_988_800

  /// When the server got the request, and when it answered.
  let received: Timestamp
  let answered: Timestamp

  /// A request. In the place of this host's time it carries a number that only its answer repeats.
  static func request(nonce: UInt64) -> [UInt8] {
    // No leap second warning, version 4, mode 3: client.
    [0b00_100_011] + [UInt8](repeating: 0, count: 39)
      + (0..<8).map { UInt8(truncatingIfNeeded: nonce >> UInt64(56 - 8 * $0)) }
  }

  /// Reads an answer; nil if it is none to that request, or the server does not know the time.
  init?(_ bytes: [UInt8], answering nonce: UInt64) {
    guard bytes.count == Self.length, bytes[0] & 7 == 4, bytes[0] >> 6 != 3,
      (1...15).contains(bytes[1])
    else { return nil }
    func field(_ offset: Int) -> UInt64 {
      bytes[offset..<offset + 8].reduce(0) { $0 << 8 | UInt64($1) }
    }
    guard field(24) == nonce, field(40) != 0 else { return nil }
    (received, answered) = (Self.moment(field(32)), Self.moment(field(40)))
  }

  /// A moment of NTP: seconds and fractions of 2⁻³² s. Seconds below 2³¹ are those after 2036.
  private static func moment(_ value: UInt64) -> Timestamp {
    let seconds = Int64(value >> 32) + (value >> 63 == 0 ? 1 << 32 : 0) - epoch
    let fraction = Int64((value & 0xFFFF_FFFF) * 1_000_000_000 >> 32)
    return Timestamp(rawValue: seconds * 1_000_000_000 + fraction)
  }

  /// Nanoseconds the server's clock is ahead, if the way there takes as long as the way back.
  func offset(sent: Timestamp, received home: Timestamp) -> Int64 {
    let there = received.rawValue.subtractingReportingOverflow(sent.rawValue).partialValue
    let back = answered.rawValue.subtractingReportingOverflow(home.rawValue).partialValue
    return there / 2 + back / 2
  }
}
