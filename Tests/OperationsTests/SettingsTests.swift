import Bytes
import Catalog
import FileIO
import Support
import Testing
import Vault

@testable import Operations

/// Goal: what an operator sets for a machine is what applies, before and after its protection is enabled.
/// Method: a vault in service with machines that have enrolled.
@Suite struct SettingsTests {
  private func changes(_ change: (inout MachineChanges) -> Void) -> MachineChanges {
    var changes = MachineChanges()
    change(&changes)
    return changes
  }

  private func refusal(_ body: () throws -> Void) -> String? {
    do { try body() } catch let error as OperationError where error.code == .refused {
      return error.message
    } catch { return "\(error)" }
    return nil
  }

  @Test(
    "a limit with hours applies in these, also over midnight and by another clock, and else not")
  func hours() throws {
    let cases: [(text: String, limited: [Int64], free: [Int64])] = [
      ("always", [0, 720, 1439], []), ("08:00-18:00", [480, 1079], [0, 479, 1080]),
      ("22:00-06:00", [1320, 0, 359], [360, 1319]),
      ("08:00-18:00+02:00", [360, 959], [359, 960]),
    ]
    var settings = MachineSettings(machine: .random())
    settings.bandwidth = 4096
    for (text, limited, free) in cases {
      #expect(try #require(BandwidthHours(text)).description == text)
      settings.bandwidthHours = text
      func limit(_ minute: Int64) -> UInt64 {
        settings.bandwidth(at: Timestamp(seconds: 20_000 * 86400 + minute * 60))
      }
      for minute in limited { #expect(limit(minute) == 4096, "\(text) \(minute)") }
      for minute in free { #expect(limit(minute) == 0, "\(text) \(minute)") }
    }
    for text in ["", "automatic", "manual", "08:00", "08:00-08:00", "8-18"] {
      #expect(BandwidthHours(text) == nil, "\(text)")
    }
    settings.bandwidth = nil
    #expect(settings.bandwidth(at: Timestamp(seconds: 0)) == 0)
  }

  @Test("what was set for a machine before it is protected applies then, unless another is chosen")
  func before() throws {
    let bench = try HealthTests.Bench("web01")
    let set = changes {
      ($0.cycleSeconds, $0.applicationSeconds, $0.rpoSeconds) = (60, 0, 1200)
      ($0.bandwidth, $0.bandwidthHours) = (1 << 20, BandwidthHours("08:00-18:00"))
      ($0.resyncWindow, $0.address) = (.manual, "10.9.9.9")
    }
    let before = try bench.service.change("web01", set)
    var options = ProtectionOptions()
    options.cycleSeconds = 120
    try bench.enable("web01", options)
    var kept = try bench.service.settings(of: "web01")
    #expect(kept.cycleSeconds == 120 && kept.enabled != nil)
    (kept.cycleSeconds, kept.enabled) = (before.cycleSeconds, before.enabled)
    #expect(kept == before)
  }

  @Test("a threshold nobody chose is a quarter of an hour, or three cycles if these take longer")
  func threshold() throws {
    let bench = try HealthTests.Bench("web01")
    var options = ProtectionOptions()
    #expect(try bench.service.plan("web01", options).settings.rpoSeconds == 900)
    options.cycleSeconds = 7200
    #expect(try bench.service.plan("web01", options).settings.rpoSeconds == 21600)
    _ = try bench.service.change("web01", changes { $0.rpoSeconds = 1000 })
    #expect(try bench.service.plan("web01", options).settings.rpoSeconds == 1000)
  }

  @Test("threshold, address and operating system are changed by the rules of enabling")
  func changing() throws {
    let bench = try HealthTests.Bench("web01")
    let service = bench.service
    let early = refusal {
      _ = try service.change("web01", changes { $0.operatingSystem = .windows })
    }
    #expect(early?.contains("machine enable web01 --os windows") == true, "\(early ?? "")")
    try bench.enable("web01")
    for change in [
      changes { $0.rpoSeconds = 59 }, changes { $0.address = "10.0.0" },
      changes { $0.cycleSeconds = 9 },
    ] {
      #expect(refusal { _ = try service.change("web01", change) } != nil)
    }
    let set = changes {
      ($0.rpoSeconds, $0.address, $0.operatingSystem) = (1800, "203.0.113.9", .windows)
    }
    let settings = try service.change("web01", set)
    #expect(settings.rpoSeconds == 1800 && settings.address == "203.0.113.9")
    let machine = try service.vault.machine(named: "web01")
    #expect(try machine.snapshot().configuration.operatingSystem == .windows)
    #expect(try machine.snapshot().configuration.disks.count == 1)
    let warnings = try service.warnings(of: "203.0.113.9", for: "web01")
    #expect(
      warnings == [
        "203.0.113.9 is a public address: use the internal address; replication may not work as "
          + "expected"
      ])
    let told = try service.events(after: 0, limit: 10).map(\.message)
    #expect(told.contains(warnings[0]))
    // And it stays so for whoever writes to the log next.
    try MachineWriter(machine: machine, in: service.vault, lock: service.writable.lock).close()
    #expect(try machine.snapshot().configuration.operatingSystem == .windows)
  }

  @Test("only a machine that is protected can be paused")
  func pausing() throws {
    let bench = try HealthTests.Bench("web01")
    let refused = refusal { try bench.service.setPaused(true, machine: "web01") }
    #expect(refused?.contains("machine enable web01") == true, "\(refused ?? "")")
    try bench.enable("web01")
    try bench.service.setPaused(true, machine: "web01")
    #expect(try bench.service.overview(of: "web01").state == .paused)
  }

  @Test("a machine whose replica is in doubt shows so, and whether it is being compared")
  func doubt() throws {
    let bench = try HealthTests.Bench("web01")
    try bench.enable("web01")
    func state() throws -> MachineOverview.State { try bench.service.overview(of: "web01").state }
    #expect(try state() == .initialReplication)
    _ = try bench.service.change("web01", changes { $0.resyncWindow = .manual })
    try bench.service.requireResynchronisation(of: "web01", because: "Disk 0 is another one.")
    #expect(try state() == .resynchronisationRequired)
    let overview = try bench.service.overview(of: "web01")
    #expect(overview.resynchronisation?.record?.reason == "Disk 0 is another one.")
    #expect(overview.resynchronisation?.window == .manual && overview.health == .critical)
    _ = try bench.service.resynchronise("web01")
    #expect(try state() == .resynchronising)
    try bench.service.setPaused(true, machine: "web01")
    #expect(try state() == .paused)
  }
}
