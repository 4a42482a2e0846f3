internal import Bytes

/// Finds the address of an adapter in frames that came from it and went to it.
///
/// The frames come from QEMU's `filter-mirror`, each after its length in four bytes, the highest first. The
/// ring drops its oldest bytes, so the first frame may be half one. Bytes are untrusted: the guest sends them.
struct FrameRing {
  /// The longest frame that is believed in.
  private static let frameLimit = 1 << 17

  let hardware: HardwareAddress

  /// The newest address that the frames show; nil if they show none.
  func address(in bytes: [UInt8]) -> MachineObservation.Address? {
    var (used, leased): (IPv4Address?, IPv4Address?)
    for frame in frames(bytes) {
      if let address = sender(of: frame) { used = address }
      if let address = lease(in: frame) { leased = address }
    }
    return used.map { .used($0) } ?? leased.map { .leased($0) }
  }

  /// The whole frames. Where a length makes no sense, the next place is tried that looks like the adapter's
  /// frame.
  private func frames(_ bytes: [UInt8]) -> [ArraySlice<UInt8>] {
    var found: [ArraySlice<UInt8>] = []
    var place = 0
    while place + 18 <= bytes.count {
      let length = bytes[place..<place + 4].reduce(0) { $0 << 8 | Int($1) }
      let start = place + 4
      if 14...Self.frameLimit ~= length, start + length <= bytes.count, isFrame(bytes, at: start) {
        found.append(bytes[start..<start + length])
        place = start + length
      } else {
        place += 1
      }
    }
    return found
  }

  /// Whether an Ethernet frame from or to the adapter, or to all, begins here.
  private func isFrame(_ bytes: [UInt8], at place: Int) -> Bool {
    bytes[place + 6..<place + 12].elementsEqual(hardware.bytes)
      || bytes[place..<place + 6].elementsEqual(hardware.bytes)
      || bytes[place..<place + 6].allSatisfy { $0 == 0xFF }
  }

  /// The address that the adapter sent an IPv4 packet or an ARP message from.
  private func sender(of frame: ArraySlice<UInt8>) -> IPv4Address? {
    let bytes = Array(frame)
    guard bytes[6..<12].elementsEqual(hardware.bytes) else { return nil }
    var place: Int
    switch (bytes[12], bytes[13]) {
    case (0x08, 0x00) where bytes.count >= 34: place = 26
    // Ethernet and IPv4 (RFC 826); the hardware address of the sender has to be the same.
    case (0x08, 0x06)
    where bytes.count >= 42 && bytes[14..<20].elementsEqual([0, 1, 8, 0, 6, 4])
      && bytes[22..<28].elementsEqual(hardware.bytes):
      place = 28
    default: return nil
    }
    let address = Self.address(bytes, &place)
    // Nobody's, this host's own, one that the guest chose for want of a server, a group's.
    let (first, second) = (address.bits >> 24, address.bits >> 16)
    return first == 0 || first == 127 || second == 0xA9FE || first >= 224 ? nil : address
  }

  /// The address that a DHCP server acknowledges to the adapter (RFC 2131, RFC 2132).
  private func lease(in frame: ArraySlice<UInt8>) -> IPv4Address? {
    let bytes = Array(frame)
    guard bytes.count >= 14 + 20 + 8 + 240, bytes[12] == 0x08, bytes[13] == 0x00,
      bytes[14] >> 4 == 4, bytes[23] == 17
    else { return nil }
    let udp = 14 + Int(bytes[14] & 0x0F) * 4
    let body = udp + 8
    guard bytes.count >= body + 240, bytes[udp..<udp + 4].elementsEqual([0, 67, 0, 68]),
      bytes[body] == 2, bytes[body + 28..<body + 34].elementsEqual(hardware.bytes),
      bytes[body + 236..<body + 240].elementsEqual([99, 130, 83, 99])
    else { return nil }
    var place = body + 240
    while place + 2 < bytes.count, bytes[place] != 255 {
      if bytes[place] == 53 {
        var address = body + 16
        return bytes[place + 2] == 5 ? Self.address(bytes, &address) : nil
      }
      place += bytes[place] == 0 ? 1 : 2 + Int(bytes[place + 1])
    }
    return nil
  }

  private static func address(_ bytes: [UInt8], _ place: inout Int) -> IPv4Address {
    let bits = bytes[place..<place + 4].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
    place += 4
    return IPv4Address(bits: bits)
  }
}
