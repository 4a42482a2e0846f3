import Bytes
import Capture
import Catalog
import Dispatch
import FileIO
import Support
import Synchronization
import Testing
import Vault

@testable import Operations

/// Goal: a vault in service has one writer a machine, and its jobs end as told, also when the process
/// that ran them did not live to see it. Method: real vaults and threads.
@Suite struct ServiceTests {
  /// Waits until a job has ended.
  static func end(of job: JobRecord, in service: VaultService) throws -> JobRecord {
    let isOver = try Program.poll(seconds: 30) { try service.jobs.job(job.id).state.isFinal }
    try #require(isOver, "job \(job.id) did not end")
    return try service.jobs.job(job.id)
  }

  @Test("while a vault is in service nobody else may write, and operations run under its lock")
  func heldLock() throws {
    let site = try Site()
    let disk = try site.disk("a.img")
    let service = try VaultService(site.vault)
    #expect(try site.failure { try site.replicate("web01") }?.code == .locked)
    #expect(try site.failure { _ = try VaultService(site.vault) }?.code == .locked)
    _ = try AddMachine(
      name: "web01", operatingSystem: .linux, disks: [disk], capture: .scan, format: nil
    ).run(in: service.writable)
    var made: [CaptureResult] = []
    try Replicate(machine: "web01").run(
      in: service.writable, progress: { _ in }, cancelled: { false }, made: { made.append($0) })
    #expect(made.count == 1)
    #expect(try RemoveMachine(name: "web01").run(in: service.writable).isEmpty)
    #expect(service.close())
  }

  @Test("a machine has one writer at a time, others go on")
  func oneWriter() throws {
    let site = try Site()
    for name in ["a", "b"] { _ = try site.add(name, [try site.disk("\(name).img")]) }
    let service = try VaultService(site.vault)
    let machine = try site.vault.machine(named: "a")
    func replicate(_ name: String) throws {
      try Replicate(machine: name).run(
        in: service.writable, progress: { _ in }, cancelled: { false }, made: { _ in })
    }
    try service.writable.writing(to: machine) { () throws(OperationError) in
      do {
        #expect(try site.failure { try replicate("a") }?.code == .locked)
        #expect(
          try site.failure { _ = try RemoveMachine(name: "a").run(in: service.writable) }?.code
            == .locked)
        try replicate("b")
      } catch { throw OperationError(.failed, "\(error)") }
    }
    try replicate("a")
    #expect(service.close())
  }

  @Test("a job tells its progress and result, and ends as its work did")
  func outcomes() throws {
    let site = try Site()
    let service = try VaultService(site.vault)
    let good = try service.jobs.start("Test", machine: "m", tasks: ["first", "second"]) {
      job throws(OperationError) in
      try job.task("first") { () throws(OperationError) in
        job.report(JobProgress(step: "disk 0", done: 1, total: 2))
      }
      try job.publish("{}")
    }
    let ended = try Self.end(of: good, in: service)
    #expect(ended.state == .succeeded && ended.error == nil && ended.result == "{}")
    #expect(ended.progress?.done == 1)
    #expect(ended.tasks.map(\.state) == [.succeeded, .notStarted])
    for (code, state) in [
      (OperationError.Code.source, JobState.failed), (.incomplete, .succeeded),
      (.cancelled, .cancelled),
    ] {
      let job = try service.jobs.start("Test", machine: nil, tasks: ["only"]) {
        job throws(OperationError) in
        try job.task("only") { () throws(OperationError) in throw OperationError(code, "why") }
      }
      let ended = try Self.end(of: job, in: service)
      #expect(ended.state == state && ended.error?.code == code.rawValue, "\(code)")
      #expect(ended.tasks[0].state == (code == .cancelled ? .cancelled : .failed))
    }
    #expect(try service.events(after: 0, limit: 10).count == 2)
    #expect(try service.jobs.jobs(limit: 10).count == 4)
    #expect(try site.failure { _ = try service.jobs.job(99) }?.code == .unknown)
    #expect(service.close())
  }

  @Test("jobs beyond the limit wait, in order, and can be cancelled before they begin")
  func waiting() throws {
    let site = try Site()
    let service = try VaultService(site.vault)
    let gate = DispatchSemaphore(value: 0)
    let running = try (0..<JobRunner.runningLimit).map { _ in
      try service.jobs.start("Test", machine: nil) { _ throws(OperationError) in gate.wait() }
    }
    let began = Mutex(false)
    let waiting = try service.jobs.start("Test", machine: nil) { _ throws(OperationError) in
      began.withLock { $0 = true }
    }
    #expect(try service.jobs.job(waiting.id).state == .notStarted)
    #expect(try service.jobs.cancel(waiting.id).state == .cancelled)
    for _ in running { gate.signal() }
    for job in running { #expect(try Self.end(of: job, in: service).state == .succeeded) }
    #expect(!began.withLock { $0 })
    #expect(try site.failure { _ = try service.jobs.cancel(waiting.id) }?.code == .refused)
    #expect(service.close())
  }

  @Test("a service that is stopped asks its jobs to stop, and says so in them")
  func stopping() throws {
    let site = try Site()
    var service: VaultService? = try VaultService(site.vault)
    let job = try #require(service).jobs.start("Test", machine: nil) { job throws(OperationError) in
      _ = Program.poll(seconds: 30) { job.isCancelled }
      throw OperationError(.cancelled, "Stopped half way.")
    }
    #expect(service?.close() == true)
    #expect(
      try site.failure { _ = try service?.jobs.start("Test", machine: nil) { _ in } }?.code
        == .refused)
    service = nil
    let next = try VaultService(site.vault)
    let ended = try next.jobs.job(job.id)
    #expect(ended.state == .cancelled)
    #expect(ended.error?.message == "The service was stopped. Stopped half way.")
    #expect(next.close())
  }

  @Test("a job whose process died is shown as failed, with the reason, and an event tells of it")
  func died() throws {
    let site = try Site()
    let before = try Catalog(in: site.vault.path)
    var job = try before.addJob(kind: "Replicate", machine: "web01", tasks: [], now: .now())
    job.state = .inProgress
    try before.update(job)
    try before.close()
    let service = try VaultService(site.vault)
    let found = try service.jobs.job(job.id)
    #expect(found.state == .failed)
    #expect(found.error?.message.contains("ended before it did") == true)
    #expect(try service.events(after: 0, limit: 10).map(\.code) == ["job-failed"])
    #expect(service.close())
  }

  @Test("a damaged catalog keeps a service from starting, and changes no byte that is read")
  func damagedCatalog() throws {
    let site = try Site()
    _ = try site.add("web01", [try site.disk("a.img")])
    let point = try #require(try site.replicate("web01").first?.point)
    let path = site.vault.path + "/" + Catalog.fileName
    try FileSystem.system.replaceFile(
      path, with: [UInt8](repeating: 7, count: 4096), permissions: 0o600)
    #expect(try site.failure { _ = try VaultService(site.vault) }?.code == .damaged)
    let found = try PointLookup("latest", of: "web01", in: site.vault, now: .now())
    #expect(found.point == point)
    try FileSystem.system.remove(path)
    #expect(try VaultService(site.vault).close())
  }
}
