import Bytes
import Catalog
import Compute
import Replication
import Support
import Testing
import Vault

@testable import Operations

/// Goal: a recovered machine is what an operator said, else what the machine is, and never what can't be.
/// Method: a vault in service with machines that have enrolled.
@Suite struct TargetTests {
  private func changes(_ change: (inout TargetChanges) -> Void) -> TargetChanges {
    var changes = TargetChanges()
    change(&changes)
    return changes
  }

  private func adapter(
    _ number: Int = 0, network: String? = nil, address: String? = nil, mac: String? = nil
  ) -> TargetChanges.Adapter {
    var adapter = TargetChanges.Adapter(number: number)
    (adapter.network, adapter.address, adapter.hardwareAddress) = (network, address, mac)
    return adapter
  }

  private func refusal(
    _ bench: HealthTests.Bench, _ name: String, _ change: (inout TargetChanges) -> Void
  ) -> String {
    do throws(OperationError) {
      _ = try bench.service.changeTarget(of: name, changes(change))
      return "fine"
    } catch { return "\(error.code.rawValue): \(error.message)" }
  }

  @Test("what nobody said follows from what the agent tells of its own machine")
  func defaults() throws {
    let bench = try HealthTests.Bench("web01", disks: [1, 3, 2])
    let plain = try bench.service.target(of: "web01")
    #expect(plain.name == "web01" && plain.cores == 2 && plain.memory == 2048)
    #expect(plain.firmware == .bios && plain.systemDisk == 1 && plain.diskOrder == [1, 2, 3])
    #expect(plain.adapters.count == 1 && plain.adapters[0].network == nil)
    #expect(plain.chosenFields.isEmpty)
    var agent = try bench.service.agent(named: "web01")
    agent.hardware = AgentRecord.Hardware(
      Hardware(
        cores: 6, memory: 3940 << 20, firmware: .uefi,
        adapters: [
          Hardware.Adapter(
            name: "ens3", hardwareAddress: "52:54:00:00:00:01", addresses: ["10.0.0.7"]),
          Hardware.Adapter(name: "ens4", hardwareAddress: "", addresses: []),
        ]))
    try bench.service.catalog.set(agent)
    let told = try bench.service.target(of: "web01")
    #expect(told.cores == 6 && told.memory == 4096 && told.firmware == .uefi)
    #expect(told.adapters.map(\.hardwareAddress) == ["52:54:00:00:00:01", nil])
    #expect(told.adapters.map(\.sourceName) == ["ens3", "ens4"])
    // An agent that reads image files runs on their host: what that is made of says nothing.
    agent.disks[0].path = "/var/lib/images/web01.img"
    try bench.service.catalog.set(agent)
    #expect(try bench.service.target(of: "web01").cores == 2)
  }

  @Test("what was said is kept, told as chosen, and taken back one by one")
  func changing() throws {
    let bench = try HealthTests.Bench("web01", disks: [0, 1, 2])
    let said = changes {
      ($0.name, $0.cores, $0.memory, $0.firmware) = ("web01-dr", 4, 8192, "uefi")
      ($0.systemDisk, $0.diskOrder) = (1, [1, 2, 0])
      $0.adapters = [
        adapter(1, network: "isolated", address: "10.213.0.9", mac: "52:54:00:AB:cd:01")
      ]
    }
    let changed = try bench.service.changeTarget(of: "web01", said)
    #expect(changed.name == "web01-dr" && changed.cores == 4 && changed.memory == 8192)
    #expect(changed.firmware == .uefi && changed.diskOrder == [1, 2, 0] && changed.systemDisk == 1)
    #expect(changed.adapters.map(\.number) == [0, 1])
    #expect(changed.adapters[1].network?.name == "isolated")
    #expect(changed.adapters[1].address == "10.213.0.9")
    #expect(changed.adapters[1].hardwareAddress == "52:54:00:ab:cd:01")
    #expect(changed.chosenFields.count == 7)
    #expect(try bench.service.network(named: "isolated").users == ["machine 'web01'"])
    // What is not said stays.
    #expect(try bench.service.changeTarget(of: "web01", changes { $0.cores = 5 }).memory == 8192)
    let back = changes {
      ($0.name, $0.cores, $0.memory, $0.firmware) = ("", 0, 0, "")
      ($0.systemDisk, $0.diskOrder) = (-1, [])
      $0.adapters = [adapter(1, network: "", mac: "")]
    }
    let usual = try bench.service.changeTarget(of: "web01", back)
    #expect(usual.chosenFields.isEmpty && usual.adapters.count == 1, "\(usual)")
    #expect(try bench.service.network(named: "isolated").users.isEmpty)
  }

  @Test("what can't be is refused with the reason, and changes nothing")
  func refusals() throws {
    let bench = try HealthTests.Bench("web01", "db01", disks: [0, 1])
    _ = try bench.service.createNetwork(
      NewNetwork(name: "lan", kind: .bridge, bridge: "br0", subnet: "192.168.7.0/24"))
    _ = try bench.service.changeTarget(
      of: "db01", changes { $0.adapters = [adapter(network: "lan", address: "192.168.7.20")] })
    let cases: [(String, (inout TargetChanges) -> Void)] = [
      ("refused: A machine can't be named", { $0.name = "-a" }), ("1 to 255", { $0.cores = 256 }),
      ("1 to 255", { $0.cores = -1 }), ("64 MiB", { $0.memory = 63 }),
      ("16 TiB", { $0.memory = 16 << 20 + 1 }), ("'bios' or 'uefi'", { $0.firmware = "efi" }),
      ("no disk 7", { $0.systemDisk = 7 }), ("no disk 7", { $0.diskOrder = [0, 7] }),
      ("names each one", { $0.diskOrder = [0] }), ("names each one", { $0.diskOrder = [0, 1, 1] }),
      ("numbers 0 to 7", { $0.adapters = [adapter(8, network: "lan")] }),
      ("unknown: There is no network 'no'", { $0.adapters = [adapter(network: "no")] }),
      ("no network to have an address", { $0.adapters = [adapter(address: "192.168.7.21")] }),
      ("no address of version 4", { $0.adapters = [adapter(network: "lan", address: "fd00::1")] }),
      ("outside 192.168.7.0/24", { $0.adapters = [adapter(network: "lan", address: "10.0.0.1")] }),
      ("broadcast", { $0.adapters = [adapter(network: "lan", address: "192.168.7.255")] }),
      ("gateway", { $0.adapters = [adapter(network: "isolated", address: "10.213.0.1")] }),
      (
        "adapter 0 of 'db01'",
        { $0.adapters = [adapter(network: "lan", address: "192.168.7.20")] }
      ),
      (
        "adapter 1 of 'web01'",
        {
          $0.adapters = [0, 1].map { adapter($0, network: "lan", address: "192.168.7.30") }
        }
      ),
      ("no hardware address", { $0.adapters = [adapter(mac: "01:00:5e:00:00:01")] }),
      ("no hardware address", { $0.adapters = [adapter(mac: "52:54:00:12:34")] }),
      (
        "that of adapter 1 of 'web01' already",
        { $0.adapters = [0, 1].map { adapter($0, mac: "52:54:00:12:34:56") } }
      ),
    ]
    for (reason, change) in cases {
      let told = refusal(bench, "web01", change)
      #expect(told.contains(reason), "\(told)")
    }
    #expect(try bench.service.target(of: "web01").chosenFields.isEmpty)
    #expect(refusal(bench, "nobody") { $0.cores = 2 }.hasPrefix("unknown"))
    // The gateway of a bridge is not Tidemark's to know.
    #expect(
      refusal(bench, "web01") { $0.adapters = [adapter(network: "lan", address: "192.168.7.1")] }
        == "fine")
    // A network of another subnet takes another address.
    #expect(
      refusal(bench, "web01") { $0.adapters = [adapter(network: "isolated")] }.contains("outside"))
  }

  @Test("what this host lacks, and what is still to be said, is warned of")
  func warnings() throws {
    let bench = try HealthTests.Bench("web01")
    _ = try bench.service.changeTarget(of: "web01", changes { ($0.cores, $0.memory) = (8, 4096) })
    let target = try bench.service.target(of: "web01")
    #expect(target.warnings(hostCores: 8, hostMemory: 4096).count == 1)
    #expect(target.warnings(hostCores: 8, hostMemory: 4096)[0].contains("--network 0=NAME"))
    let told = target.warnings(hostCores: 4, hostMemory: 2048).joined()
    #expect(told.contains("8 cores") && told.contains("4096 MiB"))
  }

  @Test("a target without any network is refused at enabling, with the command that makes one")
  func check() throws {
    let bench = try HealthTests.Bench("web01")
    let service = bench.service
    #expect(try service.checkTarget().map(\.verdict).allSatisfy { $0 != .refused })
    try service.deleteNetwork(named: "isolated")
    let failed = try #require(try service.checkTarget().first { $0.verdict == .refused })
    #expect(failed.subject == "network")
    #expect(failed.advice?.contains("tidemark network create isolated --isolated") == true)
    do throws(OperationError) {
      _ = try service.plan("web01", ProtectionOptions())
      Issue.record("it was planned")
    } catch {
      #expect(error.code == .refused)
      #expect(error.message.contains("tidemark network create isolated --isolated"))
    }
    _ = try service.createNetwork(NewNetwork(name: "out", kind: .user))
    #expect(try service.checkTarget().first { $0.subject == "network" }?.verdict == .warning)
    #expect(try service.plan("web01", ProtectionOptions()).disks.count == 1)
    let found = try service.checkTarget(of: "web01")
    #expect(found.contains { $0.subject == "machine web01" && $0.verdict == .warning })
  }

  @Test("what a machine was to be is forgotten with its protection")
  func forgetting() throws {
    let bench = try HealthTests.Bench("web01")
    try bench.enable("web01")
    _ = try bench.service.changeTarget(
      of: "web01", changes { $0.adapters = [adapter(network: "isolated")] })
    _ = try bench.service.disable("web01")
    #expect(try bench.service.target(of: "web01").chosenFields.isEmpty)
    try bench.service.deleteNetwork(named: "isolated")
  }

  @Test("disks are told with role, how they are replicated, and what they could boot by")
  func disks() throws {
    let bench = try HealthTests.Bench("web01", disks: [0, 1, 2])
    var disks = try bench.service.disks(of: bench.service.overview(of: "web01"))
    #expect(disks.map(\.replication) == [.unprotected, .unprotected, .unprotected])
    var options = ProtectionOptions()
    options.excluded = [2]
    try bench.enable("web01", options)
    _ = try bench.service.changeTarget(of: "web01", changes { $0.systemDisk = 1 })
    disks = try bench.service.disks(of: bench.service.overview(of: "web01"))
    #expect(disks.map(\.replication) == [.initialReplication, .initialReplication, .excluded])
    #expect(disks.map(\.isSystem) == [false, true, false])
    #expect(disks.allSatisfy { $0.bootLayout == nil })
    try bench.service.setPaused(true, machine: "web01")
    disks = try bench.service.disks(of: bench.service.overview(of: "web01"))
    #expect(disks.map(\.replication) == [.paused, .paused, .excluded])
  }

  @Test("a run joins the networks it should, with the addresses that fit, and its disks in order")
  func plans() throws {
    let bench = try HealthTests.Bench("web01", disks: [0, 1])
    let lan = try bench.service.createNetwork(
      NewNetwork(name: "lan", kind: .bridge, bridge: "br0", subnet: "192.168.7.0/24")
    ).network
    let isolated = try #require(try bench.service.drillNetwork())
    let target = try bench.service.changeTarget(
      of: "web01",
      changes {
        ($0.cores, $0.memory, $0.firmware, $0.systemDisk) = (3, 512, "uefi", 1)
        $0.adapters = [
          adapter(network: "lan", address: "192.168.7.20", mac: "52:54:00:00:00:07"), adapter(1),
          adapter(1, mac: "52:54:00:00:00:08"),
        ]
      })
    let real = target.plan(
      disks: [0: "/a", 1: "/b", 9: "/c"], in: "/run/x", joining: nil, isDrill: false)
    #expect(real.disks.map(\.path) == ["/b", "/a"] && real.disks.map(\.isSystem) == [true, false])
    #expect(real.cores == 3 && real.memory == 512 << 20 && real.firmware == .uefi)
    #expect(real.adapters.map(\.network) == [.bridge("br0")])
    #expect(real.adapters[0].address?.description == "192.168.7.20")
    #expect(real.adapters[0].hardware.description == "52:54:00:00:00:07")
    let tried = target.plan(disks: [:], in: "/run/x", joining: isolated, isDrill: false)
    #expect(tried.adapters.map(\.network) == [.isolated, .isolated], "as it was said")
    #expect(
      tried.adapters[0].address == nil && tried.adapters[0].hardware.description.hasSuffix("07"))
    #expect(tried.adapters[1].subnet?.description == "10.213.0.0/24")
    let drill = target.plan(disks: [0: "/a"], in: "/run/x", joining: isolated, isDrill: true)
    #expect(drill.adapters.map(\.network) == [.isolated, .isolated] && drill.disks.count == 1)
    #expect(drill.adapters[0].address == nil, "it is of another network")
    #expect(drill.adapters[0].hardware.description == "52:54:00:00:00:07")
    #expect(
      target.plan(disks: [:], in: "/", joining: nil, isDrill: true).adapters.isEmpty,
      "a drill joins nothing that was not chosen for it")
    let beside = target.plan(disks: [:], in: "/run/x", joining: lan, isDrill: true)
    #expect(beside.adapters[0].address?.description == "192.168.7.20")
    #expect(beside.adapters[0].hardware.description != "52:54:00:00:00:07")
  }
}
