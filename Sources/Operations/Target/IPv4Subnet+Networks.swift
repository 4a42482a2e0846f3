public import Compute

extension IPv4Subnet {
  /// The address that the network itself has in its machines' eyes, where it has one: the first that a machine
  /// could have.
  public var gateway: IPv4Address { IPv4Address(bits: base.bits &+ 1) }

  /// Whether some address belongs to both.
  func overlaps(_ other: IPv4Subnet) -> Bool {
    base <= other.broadcast && other.base <= broadcast
  }

  /// Whether all of it is set aside for a site or a link (RFC 1918, RFC 3927, RFC 6598).
  var isPrivate: Bool {
    Self.setAside.contains { $0.base <= base && broadcast <= $0.broadcast }
  }

  private static let setAside = [
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10",
  ].compactMap { IPv4Subnet($0) }

  /// Why no machine can have an address in it; nil if one can. With `hasGateway` the network itself takes
  /// the first.
  func objection(to address: IPv4Address, hasGateway: Bool) -> String? {
    guard contains(address) else { return "\(address) lies outside \(self)" }
    if address == base { return "\(address) is the address of the network \(self) itself" }
    if address == broadcast { return "\(address) is the broadcast address of \(self)" }
    guard hasGateway, address == gateway else { return nil }
    return "\(address) is the gateway of \(self)"
  }

  /// The first of 256 networks of 256 addresses above `first` that overlaps none of `others`.
  static func free(from first: UInt32, besides others: [IPv4Subnet]) -> IPv4Subnet? {
    for number in 0..<UInt32(256) {
      let address = IPv4Address(bits: first &+ number << 8)
      guard let found = IPv4Subnet(containing: address, prefix: 24) else { continue }
      if !others.contains(where: { $0.overlaps(found) }) { return found }
    }
    return nil
  }
}
