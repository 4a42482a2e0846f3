import Catalog
import Compute
import Dispatch
import FileIO
import Support
import Synchronization
import Testing

@testable import Operations

/// Goal: who asks for the power of a machine gets that of the one that is meant, and never for one whose disks
/// are being taken away. Method: a real vault; only the processes that serve disks are stood in for.
@Suite struct MachinePowerTests {
  @Test(
    "a machine is started and stopped where it is drilled or failed over, and refused elsewhere")
  func states() throws {
    let site = try RecoverySite()
    let early = try site.refusal {
      _ = try site.service.startMachine("web01", isTest: true, by: nil)
    }
    #expect(early.contains("tidemark test-failover start web01"), "\(early)")
    _ = try site.drill()
    let wrong = try site.refusal { _ = try site.service.power(of: "web01", isTest: false) }
    #expect(wrong.contains("--test"), "\(wrong)")
    let stop = try site.end(
      try site.service.stopMachine("web01", isTest: true, .init(seconds: 5), by: "tester"))
    #expect(stop.state == .succeeded && stop.kind == "Stop machine", "\(stop)")
    #expect(try site.service.power(of: "web01", isTest: true).state == .off)
    try site.restart()
    #expect(try site.service.power(of: "web01", isTest: true).state == .off)
    #expect(
      try site.end(try site.service.startMachine("web01", isTest: true, by: nil)).state
        == .succeeded)
    #expect(try site.service.power(of: "web01", isTest: true).state == .on)
    _ = try site.end(try site.service.cleanUpTestFailover("web01", notes: nil, by: nil))
    #expect(site.service.power(of: "web01") == nil)
    _ = try site.failover()
    #expect(site.service.power(of: "web01")?.state == .on)
    #expect(
      try site.refusal {
        _ = try site.service.stopMachine("web01", isTest: false, .init(seconds: 0), by: nil)
      }.contains("1 s"))
  }

  @Test("a start that fails leaves everything as it was, and no other way of running it")
  func failedStart() throws {
    let site = try RecoverySite()
    site.provider = QemuCompute(program: "/nowhere/qemu")
    try site.service.useForRecovery(site.parts)
    _ = try site.failover()
    let branch = try #require(try site.service.recovery(of: "web01").record?.branch)
    func isFrozen() -> Bool { site.servers.state.withLock { $0.frozen.contains(branch) } }
    func start(boots: Bool) throws -> JobRecord {
      try site.end(
        try site.service.startMachine("web01", isTest: false, boots: boots, by: nil))
    }
    func stop() throws -> JobRecord {
      try site.end(
        try site.service.stopMachine("web01", isTest: false, .init(seconds: 5), by: nil))
    }
    #expect(try start(boots: true).error?.code == "refused")
    #expect(try site.service.power(of: "web01", isTest: false).state == .on && !isFrozen())
    #expect(try stop().state == .succeeded && isFrozen())
    // Without QEMU it is refused at once; with this one it ends as soon as it was started.
    let program = site.site.directory.file("qemu")
    try File(program, .creating(permissions: 0o755)).write(
      Array("#!/bin/sh\n[ \"$1\" = --version ]\n".utf8), at: 0)
    try Program.require("chmod", "755", program)
    for provider in [site.provider, QemuCompute(program: program)] {
      site.provider = provider
      try site.service.useForRecovery(site.parts)
      let job = try start(boots: true)
      #expect(job.state == .failed, "\(job)")
      let power = try site.service.power(of: "web01", isTest: false)
      #expect(power.provider == "none" && power.state == .off && isFrozen())
      let record = try #require(try site.service.recovery(of: "web01").record)
      #expect(record.request?.boots == false && record.stopped == branch)
    }
    #expect(try start(boots: false).state == .succeeded && !isFrozen())
    site.provider = QemuCompute(program: "/nowhere/qemu")
    try site.service.useForRecovery(site.parts)
    var request = site.request("p1", confirmed: true)
    request.boots = true
    let change = try site.end(try site.service.changeRecoveryPoint("web01", request, by: nil))
    #expect(change.state == .failed, "\(change)")
    request = site.request("p1", confirmed: true)
    let plain = try site.end(try site.service.changeRecoveryPoint("web01", request, by: nil))
    #expect(plain.state == .succeeded, "what failed asks for nothing any more: \(plain)")
  }

  @Test("power waits for no other job")
  func turn() throws {
    let site = try RecoverySite()
    _ = try site.failover()
    let end = DispatchSemaphore(value: 0)
    let busy = try (0..<JobRunner.runningLimit).map { _ in
      try site.service.jobs.start("Long", machine: nil) { _ in end.wait() }
    }
    defer { for _ in busy { end.signal() } }
    #expect(
      try Program.poll(seconds: 30) {
        try busy.allSatisfy { try site.service.jobs.job($0.id).state == .inProgress }
      })
    let stop = try site.end(
      try site.service.stopMachine("web01", isTest: false, .init(seconds: 5), by: nil))
    #expect(stop.state == .succeeded, "\(stop)")
  }

  @Test("another point is not taken while a machine is started, which nothing takes down then")
  func besidePoint() throws {
    let site = try RecoverySite()
    #expect(try site.failover("p1").state == .succeeded)
    let branches = try site.branches
    let (service, request) = (site.service, site.request("p0", confirmed: true))
    let refusal = Mutex<String?>(nil)
    site.servers.state.withLock { state in
      state.beforeServing = {
        do throws(OperationError) {
          _ = try service.changeRecoveryPoint("web01", request, by: nil)
        } catch { refusal.withLock { $0 = error.message } }
      }
    }
    let start = try site.end(try service.startMachine("web01", isTest: false, by: nil))
    #expect(start.state == .succeeded, "\(start)")
    let told = refusal.withLock { $0 }
    #expect(told?.contains("'Start machine', of 'web01' runs") == true, "\(told ?? "it began")")
    #expect(try site.branches == branches && site.standing.running == nil)
    let change = try site.end(try service.changeRecoveryPoint("web01", request, by: nil))
    #expect(change.state == .succeeded, "\(change)")
  }

  @Test(
    "a start or stop that something overtakes which takes the disks away leaves nothing, and says so"
  )
  func overtaken() throws {
    for isStart in [true, false] {
      let site = try RecoverySite()
      _ = try site.drill()
      let branch = try #require(try site.service.recovery(of: "web01").record?.branch)
      let service = site.service
      site.servers.state.withLock { state in
        state.beforeServing = {
          guard let job = try? service.cleanUpTestFailover("web01", notes: nil, by: nil) else {
            return
          }
          _ = try? ServiceTests.end(of: job, in: service)
        }
      }
      let job =
        try isStart
        ? service.startMachine("web01", isTest: true, by: nil)
        : service.stopMachine("web01", isTest: true, .init(seconds: 5), by: nil)
      let ended = try site.end(job)
      #expect(ended.state == .failed, "\(ended)")
      #expect(try site.branches.isEmpty && site.standing.state == .protected)
      #expect(site.servers.state.withLock { !$0.served.contains(branch) })
    }
  }
}
