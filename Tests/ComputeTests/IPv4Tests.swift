import Testing

@testable import Compute

/// Goal: what people write of addresses is understood, or refused. Method: texts of both kinds.
struct IPv4Tests {
  @Test("addresses and networks are read as they are written, and nothing else is")
  func texts() throws {
    for text in ["0.0.0.0", "10.0.0.255", "255.255.255.255"] {
      #expect(IPv4Address(text)?.description == text)
    }
    for text in [
      "", "10.0.0", "10.0.0.256", "10.0.0.01", "10.0.0.1 ", "1.2.3.4.5", "a.b.c.d", "1..2.3",
    ] {
      #expect(IPv4Address(text) == nil, "\(text)")
    }
    for text in ["10.0.0.0/8", "192.0.2.4/30", "0.0.0.0/0", "192.0.2.1/32"] {
      #expect(IPv4Subnet(text)?.description == text)
    }
    for text in ["10.0.0.1/8", "10.0.0.0", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8/8", "/8"] {
      #expect(IPv4Subnet(text) == nil, "\(text)")
    }
    #expect(HardwareAddress("52:54:00:0a:Ff:01")?.description == "52:54:00:0a:ff:01")
    for text in ["53:54:00:00:00:00", "52:54:00:00:00", "0:0:0:0:0:0", "52-54-00-00-00-00", ""] {
      #expect(HardwareAddress(text) == nil, "\(text)")
    }
  }

  @Test("a machine can have neither the first nor the last address of its network")
  func hosts() throws {
    let subnet = try #require(IPv4Subnet("192.0.2.8/29"))
    let able = (0..<16).filter { subnet.hasHost(IPv4Address(bits: subnet.base.bits - 4 + $0)) }
    #expect(able == Array(5...10))
    #expect(try #require(IPv4Subnet("192.0.2.8/31")).hosts.isEmpty)
    #expect(try #require(IPv4Subnet("255.255.255.255/32")).hosts.isEmpty)
    #expect(try #require(IPv4Subnet("0.0.0.0/0")).hosts.count == (1 << 32) - 2)
  }

  @Test("in the smallest network every address can be wanted, and nobody else takes it")
  func places() throws {
    let subnet = try #require(IPv4Subnet("10.1.2.0/29"))
    for host in subnet.hosts {
      let wanted = IPv4Address(bits: UInt32(host))
      let places = try #require(AddressPlaces(subnet, wanted: wanted))
      #expect(places.machine == wanted)
      #expect(Set([places.machine, places.host, places.names]).count == 3)
      #expect(subnet.hasHost(places.host) && subnet.hasHost(places.names))
    }
    #expect(AddressPlaces(subnet, wanted: IPv4Address("10.1.2.7")) == nil)
    #expect(AddressPlaces(try #require(IPv4Subnet("10.1.2.0/30")), wanted: nil) == nil)
  }
}
