import Bytes
import Testing

@testable import Compute
@testable import Operations

/// What is told of a machine that is not as it was asked for.
@Suite struct MachineComparisonTests {
  private let hardware = HardwareAddress(high: 3, low: 4, adapter: 0)

  private func plan(_ network: MachinePlan.Network, address: String?) -> MachinePlan {
    MachinePlan(
      identifier: .random(), name: "web01", cores: 2, memory: 512 << 20, firmware: .bios,
      disks: [
        MachinePlan.Disk(name: "system", path: "/a", isSystem: true),
        MachinePlan.Disk(name: "data", path: "/b", isSystem: false),
      ],
      adapters: [
        MachinePlan.Adapter(
          network: network, subnet: nil, address: address.flatMap { IPv4Address($0) },
          hardware: hardware)
      ], directory: "/nowhere", isDrill: true)
  }

  /// A machine that is what the plan says, but for its address.
  private func seen(
    _ plan: MachinePlan, _ address: MachineObservation.Address
  ) -> MachineObservation {
    var seen = MachineObservation(.on)
    (seen.cores, seen.memory, seen.firmware) = (plan.cores, plan.memory, plan.firmware)
    seen.disks = plan.disks.map {
      MachineObservation.Disk(path: $0.path, size: 1 << 20, isSystem: $0.isSystem)
    }
    seen.adapters = plan.adapters.map {
      MachineObservation.Adapter(
        network: $0.network, hardware: $0.hardware, address: address)
    }
    return seen
  }

  private func unlike(_ plan: MachinePlan, _ seen: MachineObservation?) -> [String] {
    MachineComparison(plan, seen).all().filter { $0.isSame == false }.map(\.name)
  }

  @Test("what differs is named, each thing by itself")
  func differences() throws {
    let plan = plan(.isolated, address: "10.99.0.77")
    let address = try #require(IPv4Address("10.99.0.77"))
    let good = seen(plan, .leased(address))
    #expect(unlike(plan, good).isEmpty)
    #expect(MachineComparison.objection(good) == nil)
    var other = good
    other.cores = 4
    #expect(unlike(plan, other) == ["cores"])
    other = good
    other.memory = 256 << 20
    #expect(unlike(plan, other) == ["memory"])
    other = good
    other.firmware = .uefi
    #expect(unlike(plan, other) == ["firmware"])
    other = good
    other.disks.reverse()
    #expect(unlike(plan, other) == ["order of disks"])
    other = good
    other.disks[1].path = "/c"
    #expect(unlike(plan, other) == ["order of disks"])
    other = good
    other.adapters[0].network = .user
    #expect(unlike(plan, other) == ["network of adapter 0"])
    other = good
    other.adapters[0].address = .used(try #require(IPv4Address("10.99.0.78")))
    #expect(unlike(plan, other) == ["address of adapter 0"])
  }

  @Test("on a bridge, and of what was not seen, the address is not told to be the one or the other")
  func notObserved() throws {
    for network in [MachinePlan.Network.bridge("br0"), .isolated] {
      let plan = plan(network, address: "10.99.0.77")
      let isBridge = network == .bridge("br0")
      let rows = MachineComparison(plan, seen(plan, isBridge ? .notObserved : .notSeen)).all()
      let row = try #require(rows.first { $0.name == "address of adapter 0" })
      #expect(row.found == (isBridge ? "not observed" : "not seen") && row.isSame == nil, "\(row)")
      #expect(rows.filter { $0.isSame == false }.isEmpty)
    }
    let any = plan(.isolated, address: nil)
    let address = try #require(IPv4Address("10.99.0.5"))
    #expect(unlike(any, seen(any, .used(address))).isEmpty)
  }

  @Test("a machine that died, is halted, off or not there does not count as running")
  func notRunning() {
    let plan = plan(.isolated, address: nil)
    let words: [MachineObservation.Power: String] = [
      .died: "died", .paused: "is halted", .off: "powered it down",
    ]
    for (power, word) in words {
      var seen = MachineObservation(power)
      seen.notes = ["Its disk failed."]
      let objection = MachineComparison.objection(seen)
      #expect(objection?.contains(word) == true && objection?.hasSuffix("Its disk failed.") == true)
      #expect(unlike(plan, seen).contains("power"))
    }
    #expect(MachineComparison.objection(nil)?.contains("is not there") == true)
    #expect(unlike(plan, nil) == ["power"])
  }
}
