/// The addresses of a network of version 4, in CIDR notation (RFC 4632, 3.1): `10.0.0.0/24`.
public struct Subnet: Hashable, Sendable, CustomStringConvertible {
  /// The lowest address, as a number.
  let base: UInt32
  /// How many bits of an address tell the network.
  public let length: Int

  private init(base: UInt32, length: Int) { (self.base, self.length) = (base, length) }

  /// Reads a network; nil if it is none, or if the address is not the network's own.
  public init?(_ text: String) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2, parts[1].allSatisfy({ $0.isASCII && $0.isNumber }),
      let length = Int(parts[1]), (0...32).contains(length),
      let base = InternetAddress(String(parts[0]))?.number, base & ~Self.mask(length) == 0
    else { return nil }
    self.init(base: base, length: length)
  }

  private static func mask(_ length: Int) -> UInt32 {
    length == 0 ? 0 : ~UInt32(0) << UInt32(32 - length)
  }

  private var last: UInt32 { base | ~Self.mask(length) }

  /// `10.0.0.0/24`.
  public var description: String { "\(InternetAddress(number: base))/\(length)" }

  /// The mask, as it is written for a machine: `255.255.255.0`.
  public var mask: InternetAddress { InternetAddress(number: Self.mask(length)) }

  /// The address that the network itself has in its machines' eyes: the first that a machine could have.
  public var gateway: InternetAddress { InternetAddress(number: base &+ 1) }

  /// Whether an address belongs to it.
  public func contains(_ address: InternetAddress) -> Bool {
    address.number.map { $0 & Self.mask(length) == base } ?? false
  }

  /// Whether some address belongs to both.
  public func overlaps(_ other: Subnet) -> Bool { base <= other.last && other.base <= last }

  /// Whether all of it is set aside for a site or a link (RFC 1918, RFC 3927, RFC 6598).
  public var isPrivate: Bool { Self.setAside.contains { $0.base <= base && last <= $0.last } }

  private static let setAside = [
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10",
  ].compactMap { Subnet($0) }

  /// Why no machine can have an address in it; nil if one can. With `hasGateway` the network itself takes
  /// the first.
  func objection(to address: InternetAddress, hasGateway: Bool) -> String? {
    guard contains(address) else { return "\(address) lies outside \(self)" }
    if address.number == base { return "\(address) is the address of the network \(self) itself" }
    if address.number == last { return "\(address) is the broadcast address of \(self)" }
    guard hasGateway, address == gateway else { return nil }
    return "\(address) is the gateway of \(self)"
  }

  /// The first of 256 networks of 256 addresses above `first` that overlaps none of `others`.
  static func free(from first: UInt32, besides others: [Subnet]) -> Subnet? {
    for number in 0..<UInt32(256) {
      let found = Subnet(base: first &+ number << 8, length: 24)
      if !others.contains(where: { $0.overlaps(found) }) { return found }
    }
    return nil
  }
}

extension InternetAddress: CustomStringConvertible {
  /// The address of version 4 of this number.
  init(number: UInt32) {
    self.init(four: [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: number >> $0) })
  }

  /// An address of version 4 as a number, the first part highest; nil for one of version 6.
  var number: UInt32? { four.map { $0.reduce(0) { $0 << 8 | UInt32($1) } } }

  /// As people write it; of version 6 all eight groups.
  public var description: String {
    if let four { return four.map(String.init).joined(separator: ".") }
    return six.map { String($0, radix: 16) }.joined(separator: ":")
  }
}
