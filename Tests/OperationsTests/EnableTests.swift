import Bytes
import Catalog
import Support
import Testing
import Vault

@testable import Operations

/// Goal: protection is refused where the original refuses it, and only there. Method: agents of every kind.
@Suite struct EnableTests {
  private func refusal(
    _ bench: HealthTests.Bench, _ name: String, _ change: (inout ProtectionOptions) -> Void
  )
    -> String
  {
    var options = ProtectionOptions()
    change(&options)
    do throws(OperationError) {
      let plan = try bench.service.plan(name, options)
      return "fine: " + plan.warnings.joined(separator: " ")
    } catch { return "\(error.code.rawValue): \(error.message)" }
  }

  @Test("disks: all or that of the system excluded, none, too many, too large, unknown")
  func disks() throws {
    let bench = try HealthTests.Bench()
    try bench.enrol("web01", disks: [0, 1, 2])
    try bench.enrol("bare", disks: [])
    try bench.enrol("many", disks: Array(0...64))
    try bench.enrol("odd", disks: [0], size: 1000)
    try bench.enrol("huge", disks: [3], size: 4096 << 30)
    try bench.enrol("wide", disks: [0, 1], size: 2048 << 30)
    #expect(refusal(bench, "web01") { $0.excluded = [1, 2] }.hasPrefix("fine"))
    #expect(refusal(bench, "web01") { $0.excluded = [0, 1, 2] }.contains("all of its disks"))
    #expect(refusal(bench, "web01") { $0.excluded = [0] }.contains("operating system"))
    #expect(refusal(bench, "web01") { $0.excluded = [7] }.contains("no such disk, only of 0, 1, 2"))
    #expect(refusal(bench, "bare") { _ in }.contains("no disk to replicate"))
    #expect(refusal(bench, "many") { _ in }.contains("65 disks"))
    #expect(refusal(bench, "many") { $0.excluded = [5] }.hasPrefix("fine"))
    #expect(refusal(bench, "odd") { _ in }.contains("multiple of 512; resize it"))
    #expect(refusal(bench, "huge") { _ in }.contains("4095 GiB"))
    #expect(refusal(bench, "wide") { _ in }.hasPrefix("fine"))
    #expect(refusal(bench, "none") { _ in }.hasPrefix("unknown"))
    for change in [
      { $0.cycleSeconds = 9 }, { $0.applicationSeconds = -1 }, { $0.rpoSeconds = 59 },
      { $0.address = "10.0.0" },
    ] as [(inout ProtectionOptions) -> Void] {
      #expect(refusal(bench, "web01", change).hasPrefix("refused"))
    }
  }

  @Test("a name that breaks the rules, or is another machine's, is refused with the way out")
  func names() throws {
    let bench = try HealthTests.Bench("web01", "under_score")
    #expect(refusal(bench, "under_score") { _ in }.contains("agent enrol --again --name"))
    let other = MachineConfiguration(
      name: "WEB01", operatingSystem: .linux,
      disks: [DiskConfiguration(number: 0, path: "/dev/vda", capture: .scan, format: .raw)])
    _ = try bench.service.vault.addMachine(other, lock: bench.service.writable.lock)
    #expect(refusal(bench, "web01") { _ in }.contains("There is another machine 'WEB01'"))
  }

  @Test("a failed preflight refuses, unless the disk is excluded or the preflight skipped")
  func preflight() throws {
    let bench = try HealthTests.Bench("web01", disks: [0, 1])
    var agent = try bench.service.agent(named: "web01")
    agent.findings = [
      AgentRecord.Finding(subject: "system", verdict: "ok", found: "debian 12", advice: ""),
      AgentRecord.Finding(
        subject: "hosts", verdict: "warning", found: "no line", advice: "Add one."),
      AgentRecord.Finding(
        subject: "disk 1", verdict: "refused", found: "gone", advice: "Bring it back."),
    ]
    try bench.service.catalog.set(agent)
    let refused = refusal(bench, "web01") { _ in }
    #expect(
      refused.contains("disk 1: gone. Bring it back.") && refused.contains("--skip-preflight"))
    #expect(
      refusal(bench, "web01") { $0.excluded = [1] } == "fine: Preflight: hosts: no line. Add one.")
    #expect(refusal(bench, "web01") { $0.skipsPreflight = true }.contains("disk 1: gone"))
  }

  @Test("a public address is warned of in the original's words, an internal one is chosen")
  func addresses() throws {
    let bench = try HealthTests.Bench("web01")
    #expect(try bench.service.plan("web01", ProtectionOptions()).settings.address == "10.0.0.7")
    #expect(
      refusal(bench, "web01") { $0.address = "203.0.113.9" }
        == "fine: 203.0.113.9 is a public address: use the internal address; replication may not "
        + "work as expected")
    #expect(refusal(bench, "web01") { $0.address = "10.9.9.9" }.contains("none of the addresses"))
    try bench.enable("web01")
    #expect(refusal(bench, "web01") { _ in }.contains("machine set web01"))
    let kept = try bench.service.catalog.settings(
      of: try bench.service.agent(named: "web01").machine)
    #expect(kept.address == "10.0.0.7" && kept.rpoSeconds == 900 && kept.enabled != nil)
  }

  @Test("addresses of both versions are read, and public ones told from others")
  func internet() {
    for text in ["10.0.0.1", "172.31.0.1", "192.168.1.1", "169.254.1.1", "100.64.0.1", "127.0.0.1"]
    {
      #expect(InternetAddress(text)?.isPublic == false, "\(text)")
    }
    for text in ["fd00::5", "fe80::1%eth0", "::1", "::ffff:10.0.0.1"] {
      #expect(InternetAddress(text)?.isPublic == false, "\(text)")
    }
    for text in ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2001:db8::1", "::ffff:8.8.8.8"] {
      #expect(InternetAddress(text)?.isPublic == true, "\(text)")
    }
    for text in [
      "", "10.0.0", "10.0.0.256", "10.0.0.+1", "a", "::1::", "12345::", "1:2:3:4:5:6:7:8:9",
    ] {
      #expect(InternetAddress(text) == nil, "\(text)")
    }
    #expect(InternetAddress("fd00:0:0::5") == InternetAddress("FD00::5"))
  }
}
