internal import Bytes
internal import DiskServers
internal import FileIO
internal import Foundation
internal import Support
internal import Vault

/// Measures a disk that is written to above a recovery point, in rounds that go from one contender to the next,
/// and how long a failover takes until a disk takes writes.
struct Branches {
  let pristine: InputImage
  let settings: Settings
  let bench: Workbench
  let report: Report

  func run() throws {
    let vault = try TidemarkVault(
      at: bench.file("vault-branches"), codec: "zstd", image: pristine.path)
    try vault.replicate()
    let chain = try QemuChain(pristine, on: bench, named: "chain-branches")
    let measures = Measure.onBranch(settings)
    var rounds: [String: [Double]] = [:]
    for round in 1...settings.rounds {
      report.progress("writing above a recovery point, round \(round) of \(settings.rounds)")
      try FileSystem.warm([vault.path, chain.files[0]])
      try bench.settle()
      do {
        let disk = try chain.serveOverlay()
        add(try Measure.run(measures, on: disk.path), of: measures, "qemu", to: &rounds)
      }
      try bench.settle()
      let branch = try ServedBranch(of: vault, on: bench)
      add(try Measure.run(measures, on: branch.path), of: measures, "tidemark", to: &rounds)
      rounds["branch-memory/tidemark", default: []].append(branch.peakMemory)
      try branch.end()
    }
    for name in rounds.keys.sorted() {
      report.add(name, rounds[name] ?? [], name.hasPrefix("branch-memory") ? "MiB" : "IOPS")
    }
    let times = try (1...settings.rounds).map { try failOver(vault, round: $0) }
    report.add("failover-first-write/tidemark", times, "s")
  }

  /// Seconds from the command to the first write that was served and flushed; there is no source to stop and no
  /// relay to wait for.
  private func failOver(_ vault: TidemarkVault, round: Int) throws -> Double {
    report.progress("failing over, round \(round) of \(settings.rounds)")
    let copy = try vault.copy(to: "\(vault.path)-\(round)")
    let clock = ContinuousClock()
    let start = clock.now
    let directory = try copy.failOver()
    let disk = try File(directory + "/disk0.raw", .writing)
    try disk.write([UInt8](repeating: 1, count: 4096), at: 0)
    try disk.sync()
    let seconds = (clock.now - start).inSeconds
    try ServedBranch.end(all: copy)
    return seconds
  }

  private func add(
    _ values: [Double], of measures: [Measure], _ contender: String,
    to rounds: inout [String: [Double]]
  ) {
    report.progress("  \(contender) " + values.map { String(Int($0)) }.joined(separator: " "))
    for (measure, value) in zip(measures, values) {
      rounds["\(measure.name)/\(contender)", default: []].append(value)
    }
  }
}

/// A branch of the newest point of a vault's machine, served by its disk server.
struct ServedBranch {
  private let vault: Vault
  private let branch: Identifier
  private let servers: DiskServers
  private let running: DiskServers.Running

  init(of subject: TidemarkVault, on bench: Workbench) throws {
    let vault = try Vault(opening: subject.path)
    let lock = try vault.lock()
    let machine = try vault.machine(named: TidemarkVault.machine)
    guard let point = try machine.snapshot().points.last else {
      throw Subjects.Missing(name: "point")
    }
    let branch = Identifier.random()
    let writer = try MachineWriter(machine: machine, in: vault, lock: lock)
    try writer.pin(BranchPin(branch: branch, cut: point.sequence, purpose: .drill))
    try writer.close()
    try vault.makeBranch(
      NewBranch(id: branch, name: "bench", point: point), of: machine, lock: lock)
    servers = Self.servers(of: vault)
    running = try servers.start(branch)
    (self.vault, self.branch) = (vault, branch)
  }

  private static func servers(of vault: Vault) -> DiskServers {
    let path = vault.path
    return DiskServers(
      vault: vault.description.id, in: RunDirectory.usualBase, program: Product.tidemark
    ) { directory, branch in
      [
        "disk-server", "--vault", path, "--branch", "\(branch)", "--run-directory", directory.path,
      ]
    }
  }

  /// Ends all disk servers of a vault.
  static func end(all subject: TidemarkVault) throws {
    let servers = servers(of: try Vault(opening: subject.path))
    for running in try servers.running() {
      try servers.end(running.branch, within: 20, force: true)
    }
  }

  /// The disk.
  var path: String { running.path(of: 0) }

  /// The most memory that one of its processes had resident so far, in MiB (VmHWM of proc(5)).
  var peakMemory: Double {
    let sizes = running.client.directory.processes.map { process -> Double in
      let status = (try? String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)) ?? ""
      let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
      return line.flatMap { Double($0.filter(\.isNumber)) } ?? 0
    }
    return (sizes.max() ?? 0) / 1024
  }

  /// Ends the server and removes the branch.
  func end() throws {
    try servers.end(branch, within: 20)
    let lock = try vault.lock()
    try vault.removeBranch(branch, lock: lock)
    let machine = try vault.machine(named: TidemarkVault.machine)
    let writer = try MachineWriter(machine: machine, in: vault, lock: lock)
    try writer.release(branch)
    try writer.close()
  }
}
