import Foundation
import Support
import Testing

@testable import Compute

/// Goal: an address is told only if frames show it. Method: frames as a DHCP server and a guest send them, made
/// by hand; and the same damaged in every way.
struct FrameRingTests {
  static let hardware = HardwareAddress(high: 1, low: 2, adapter: 0)

  /// An acknowledgement (type 5) or another answer of a DHCP server.
  static func answer(type: UInt8, _ address: IPv4Address, to hardware: HardwareAddress) -> [UInt8] {
    var frame = [UInt8](repeating: 0xFF, count: 6) + [0x52, 0x55, 1, 2, 3, 4, 0x08, 0x00]
    frame += [0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0] + [10, 9, 0, 1, 255, 255, 255, 255]
    frame += [0, 67, 0, 68, 0, 0, 0, 0]
    var body = [UInt8](repeating: 0, count: 240)
    body[0] = 2
    body.replaceSubrange(16..<20, with: bytes(address))
    body.replaceSubrange(28..<34, with: hardware.bytes)
    body.replaceSubrange(236..<240, with: [99, 130, 83, 99])
    return frame + body + [0, 54, 4, 10, 9, 0, 1, 53, 1, type, 255] + [0, 0, 0]
  }

  /// A message that asks who has an address.
  static func question(from address: IPv4Address, _ hardware: HardwareAddress) -> [UInt8] {
    [UInt8](repeating: 0xFF, count: 6) + hardware.bytes + [0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1]
      + hardware.bytes + bytes(address) + [UInt8](repeating: 0, count: 10)
  }

  static func bytes(_ address: IPv4Address) -> [UInt8] {
    [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: address.bits >> $0) }
  }

  static func ring(_ frames: [UInt8]...) -> [UInt8] {
    frames.flatMap { frame in
      [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: frame.count >> $0) } + frame
    }
  }

  @Test("an acknowledged address counts as given, and one that is sent from as used")
  func addresses() throws {
    let (mine, other) = (Self.hardware, HardwareAddress(high: 7, low: 7, adapter: 1))
    let (one, two) = (
      try #require(IPv4Address("10.9.0.7")), try #require(IPv4Address("10.9.0.8"))
    )
    let reader = FrameRing(hardware: mine)
    #expect(reader.address(in: []) == nil)
    #expect(reader.address(in: Self.ring(Self.answer(type: 2, one, to: mine))) == nil)
    #expect(reader.address(in: Self.ring(Self.answer(type: 5, one, to: other))) == nil)
    #expect(reader.address(in: Self.ring(Self.question(from: one, other))) == nil)
    let given = Self.answer(type: 5, one, to: mine)
    #expect(reader.address(in: Self.ring(given)) == .leased(one))
    let used = Self.question(from: two, mine)
    #expect(reader.address(in: Self.ring(used, given)) == .used(two))
    let nobody = Self.question(from: IPv4Address(bits: 0), mine)
    #expect(reader.address(in: Self.ring(nobody)) == nil)
    // The ring has dropped the beginning of what is in it.
    for count in 1..<given.count + 4 {
      let rest = Array(Self.ring(given, used).dropFirst(count))
      #expect(reader.address(in: rest) == .used(two), "without the first \(count)")
    }
  }

  @Test("whatever a guest sends is read without harm")
  func hostile() {
    var random = SeededGenerator(for: "frames")
    let frames = Self.ring(
      Self.answer(type: 5, IPv4Address(bits: 1), to: Self.hardware),
      Self.question(from: IPv4Address(bits: 1), Self.hardware))
    for _ in 0..<2000 {
      var bytes = frames
      for _ in 0..<random.number(1..<20) {
        bytes[random.number(0..<bytes.count)] = UInt8(random.number(0..<256))
      }
      bytes.removeLast(random.number(0..<bytes.count))
      _ = FrameRing(hardware: Self.hardware).address(in: bytes)
    }
  }
}
