import Bytes
import Catalog
import Compute
import Support
import Testing

@testable import Operations

/// Goal: networks are what an operator asked for, and none goes that something uses. Method: rules by
/// table, and a vault in service.
@Suite struct NetworkTests {
  private func refusal(_ body: () throws(OperationError) -> Void) -> String? {
    do throws(OperationError) { try body() } catch {
      return "\(error.code.rawValue): \(error.message)"
    }
    return nil
  }

  @Test("an address in a subnet is one that a machine can have there")
  func addresses() throws {
    let subnet = try #require(IPv4Subnet("10.9.8.0/22"))
    let cases = [
      ("10.9.8.0", "of the network"), ("10.9.8.1", "gateway"), ("10.9.11.255", "broadcast"),
      ("10.9.12.0", "outside"), ("10.9.7.255", "outside"),
    ]
    for (text, reason) in cases {
      let address = try #require(IPv4Address(text))
      #expect(subnet.objection(to: address, hasGateway: true)?.contains(reason) == true, "\(text)")
    }
    for text in ["10.9.8.2", "10.9.8.255", "10.9.9.0", "10.9.11.254"] {
      let address = try #require(IPv4Address(text))
      #expect(subnet.objection(to: address, hasGateway: true) == nil, "\(text)")
    }
    let gateway = try #require(IPv4Address("10.9.8.1"))
    #expect(subnet.objection(to: gateway, hasGateway: false) == nil)
    let all = try #require(IPv4Subnet("0.0.0.0/0"))
    #expect(all.contains(gateway) && all.overlaps(subnet) && subnet.overlaps(all))
    #expect(!subnet.overlaps(try #require(IPv4Subnet("10.9.12.0/22"))))
    for (text, isPrivate) in [
      ("10.0.0.0/8", true), ("172.16.0.0/12", true), ("172.0.0.0/8", false),
      ("192.168.0.0/15", false), ("100.64.3.0/24", true), ("8.8.8.0/24", false),
    ] {
      #expect(IPv4Subnet(text)?.isPrivate == isPrivate, "\(text)")
    }
  }

  @Test("a vault begins with an isolated network, and gives others addresses that are free")
  func defaults() throws {
    let bench = try HealthTests.Bench()
    let service = bench.service
    #expect(try service.networks().map(\.network.name) == ["isolated"])
    #expect(try service.drillNetwork()?.subnet == "10.213.0.0/24")
    let second = try service.createNetwork(NewNetwork(name: "drills", kind: .isolated))
    let user = try service.createNetwork(
      NewNetwork(name: "out", kind: .user, forwards: [443, 22]))
    #expect(user.network.forwards == [22, 443] && second.network.forwards == nil)
    #expect(second.network.subnet == "10.213.1.0/24" && user.network.subnet == "10.214.0.0/24")
    #expect(second.warnings.isEmpty && user.warnings.isEmpty)
    try service.deleteNetwork(named: "isolated")
    #expect(try service.drillNetwork()?.name == "drills")
    try service.deleteNetwork(named: "drills")
    #expect(try service.drillNetwork() == nil)
  }

  @Test("what is no network is refused, what is doubtful is warned of")
  func rules() throws {
    let bench = try HealthTests.Bench()
    let service = bench.service
    let refused: [(NewNetwork, String)] = [
      (NewNetwork(name: "a b", kind: .isolated), "can't be named"),
      (NewNetwork(name: "none", kind: .isolated), "there is none"),
      (NewNetwork(name: "ISOLATED", kind: .isolated), "already"),
      (NewNetwork(name: "a", kind: .isolated, subnet: "10.0.0.1/24"), "such as 10.0.0.0/24"),
      (NewNetwork(name: "a", kind: .user, subnet: "10.0.0.0/30"), "between 8 and 29"),
      (NewNetwork(name: "a", kind: .bridge, bridge: "../x"), "no name of an interface"),
      (NewNetwork(name: "a", kind: .bridge), "no name of an interface"),
      (NewNetwork(name: "a", kind: .bridge, bridge: "sixteen-letters-"), "no name of an interface"),
      (NewNetwork(name: "a", kind: .user, bridge: "br0"), "Only a network that is a bridge"),
      (NewNetwork(name: "a", kind: .bridge, bridge: "br0", forwards: [22]), "on a bridge"),
      (NewNetwork(name: "a", kind: .user, forwards: [22, 22]), "each of them once"),
      (NewNetwork(name: "a", kind: .user, forwards: [0]), "1 to 65535"),
      (NewNetwork(name: "a", kind: .user, forwards: [65536]), "1 to 65535"),
    ]
    for (network, reason) in refused {
      let told = refusal { () throws(OperationError) in _ = try service.createNetwork(network) }
      #expect(
        told?.hasPrefix("refused: ") == true && told?.contains(reason) == true, "\(told ?? "")")
    }
    let lan = try service.createNetwork(
      NewNetwork(name: "lan", kind: .bridge, bridge: "nobridge0", subnet: "10.213.0.0/16"))
    #expect(lan.warnings.count == 2, "\(lan.warnings)")
    #expect(
      lan.warnings.contains { $0.contains("overlaps 10.213.0.0/24 of the network 'isolated'") })
    #expect(lan.warnings.contains { $0.contains("ip link add nobridge0 type bridge") })
    let open = try service.createNetwork(
      NewNetwork(name: "open", kind: .isolated, subnet: "8.8.8.0/24"))
    #expect(open.warnings.count == 1 && open.warnings[0].contains("private"))
    let unknown = refusal { () throws(OperationError) in try service.deleteNetwork(named: "no") }
    #expect(unknown?.contains("tidemark network create no --isolated") == true)
  }

  @Test("a network that a drill or a failed-over machine uses is not deleted, and by whom is told")
  func uses() throws {
    let bench = try HealthTests.Bench()
    bench.service.setNetworkUses { [("isolated", "the drill of 'web01'")] }
    #expect(try bench.service.network(named: "isolated").users == ["the drill of 'web01'"])
    let told = refusal { () throws(OperationError) in
      try bench.service.deleteNetwork(named: "isolated")
    }
    #expect(told?.contains("used by the drill of 'web01'") == true, "\(told ?? "")")
  }
}
