public import Catalog
public import Compute
internal import FileIO
internal import Vault

/// A network to make, as an operator asked for it.
public struct NewNetwork: Hashable, Sendable {
  /// Its name.
  public var name: String
  /// What it is made of.
  public var kind: NetworkRecord.Kind
  /// The host's bridge; for that kind alone.
  public var bridge: String?
  /// Its addresses in CIDR notation; the first that are free where Tidemark gives them out, and unknown of a
  /// bridge, if nothing is said.
  public var subnet: String?
  /// TCP ports of its machines that a port of the host is to lead to while they run; for all but a bridge.
  public var forwards: [Int]

  /// Ports that can be forwarded at the most.
  static let forwardLimit = 32

  /// A network of these properties.
  public init(
    name: String, kind: NetworkRecord.Kind, bridge: String? = nil, subnet: String? = nil,
    forwards: [Int] = []
  ) {
    (self.name, self.kind, self.bridge, self.subnet) = (name, kind, bridge, subnet)
    self.forwards = forwards
  }

  /// Where the addresses begin that are given to networks of which nothing is said: 10.213.0.0 and
  /// 10.214.0.0.
  private var firstSubnet: UInt32 { kind == .isolated ? 0x0AD5_0000 : 0x0AD6_0000 }

  /// What is kept of it, beside `others`.
  ///
  /// - Throws: `.refused` if it breaks a rule.
  func record(besides others: [NetworkRecord]) throws(OperationError) -> NetworkRecord {
    if let objection = NameRule.objection(to: name) {
      throw OperationError(.refused, "A network can't be named '\(name)': \(objection).")
    }
    guard !Self.reserved.contains(name.lowercased()) else {
      throw OperationError(
        .refused, "A network can't be named '\(name)', which means that there is none.")
    }
    guard !others.contains(where: { $0.name.lowercased() == name.lowercased() }) else {
      throw OperationError(
        .refused,
        "There is a network '\(name)' already. Choose another name, or delete that one with 'tidemark "
          + "network delete \(name)'.")
    }
    try checkBridge()
    return NetworkRecord(
      name: name, kind: kind, bridge: bridge,
      subnet: try chosenSubnet(besides: others)?.description, forwards: try chosenForwards(),
      created: .now())
  }

  private func chosenForwards() throws(OperationError) -> [UInt16]? {
    guard !forwards.isEmpty else { return nil }
    guard kind != .bridge else {
      throw OperationError(
        .refused, "Machines on a bridge are reached as others there are: no port is forwarded.")
    }
    guard forwards.count <= Self.forwardLimit, Set(forwards).count == forwards.count else {
      throw OperationError(
        .refused, "At the most \(Self.forwardLimit) ports are forwarded, each of them once.")
    }
    var ports: [UInt16] = []
    for port in forwards.sorted() {
      guard let number = UInt16(exactly: port), number > 0 else {
        throw OperationError(.refused, "A port is a number from 1 to 65535, not \(port).")
      }
      ports.append(number)
    }
    return ports
  }

  /// Words that stand for no network where one is named.
  static let reserved = ["none", usual]

  /// The word for what is joined where nobody has chosen a network.
  static let usual = "default"

  private func checkBridge() throws(OperationError) {
    guard kind == .bridge else {
      guard bridge == nil else {
        throw OperationError(.refused, "Only a network that is a bridge has an interface.")
      }
      return
    }
    // What a name of an interface may be: dev_valid_name() of Linux, net/core/dev.c.
    let isName = bridge.map { name in
      (1...15).contains(name.utf8.count) && ![".", ".."].contains(name)
        && !name.contains { $0 == "/" || $0 == ":" || $0.isWhitespace || !$0.isASCII }
    }
    guard isName == true else {
      throw OperationError(
        .refused,
        "'\(bridge ?? "")' is no name of an interface: give that of a bridge, such as br0.")
    }
  }

  private func chosenSubnet(besides others: [NetworkRecord]) throws(OperationError) -> IPv4Subnet? {
    guard let subnet else {
      guard kind != .bridge else { return nil }
      let taken = others.compactMap { $0.subnet.flatMap { IPv4Subnet($0) } }
      guard let free = IPv4Subnet.free(from: firstSubnet, besides: taken) else {
        throw OperationError(.refused, "No addresses are left: choose some with --subnet.")
      }
      return free
    }
    guard let chosen = IPv4Subnet(subnet) else {
      throw OperationError(
        .refused,
        "'\(subnet)' is no network of addresses: give its first one and how many bits tell the network, "
          + "such as 10.0.0.0/24.")
    }
    guard (8...29).contains(chosen.prefix) else {
      throw OperationError(
        .refused, "A network's length is between 8 and 29 bits, not \(chosen.prefix).")
    }
    return chosen
  }
}

extension NetworkRecord {
  /// Its addresses, as far as they are known.
  public var addresses: IPv4Subnet? { subnet.flatMap { IPv4Subnet($0) } }

  /// Whether the network itself takes the first address, to give out the others.
  public var hasGateway: Bool { kind != .bridge }

  /// What speaks against it on this host, beside `others`, and is no reason to refuse it; in sentences.
  func warnings(besides others: [NetworkRecord], on system: FileSystem) -> [String] {
    var warnings: [String] = []
    if let addresses, !addresses.isPrivate {
      warnings.append(
        "\(addresses) is not set aside for private use: its machines may take others' addresses.")
    }
    for other in others where other.name != name {
      guard let mine = addresses, let its = other.addresses, mine.overlaps(its) else { continue }
      warnings.append("\(mine) overlaps \(its) of the network '\(other.name)'.")
    }
    if let bridge, !system.exists("/sys/class/net/\(bridge)/bridge") {
      warnings.append(
        "There is no bridge '\(bridge)' on this host by now: 'ip link add \(bridge) type bridge' makes one."
      )
    }
    return warnings
  }
}
