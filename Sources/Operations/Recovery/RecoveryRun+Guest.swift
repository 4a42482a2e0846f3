internal import Bytes
internal import Catalog
internal import Compute
internal import FileIO
internal import GuestFiles
internal import Vault

/// What is looked at before a machine is started.
extension RecoveryRun {
  /// Seconds that reading facts of a guest's disks may take.
  private static let factsSeconds = 30.0

  /// Whether the machine can be run here, and whether its guest would start, if it is to be.
  func machineChecks() -> [RecoveryReport.Check] {
    guard (try? record.request)??.boots == true else {
      return NoCompute().check(nil).map(RecoveryReport.Check.init)
    }
    guard parts.provider.kind != .none else {
      return [
        RecoveryReport.Check(
          "compute provider", .failed,
          "The provider is 'none', which runs no machine. Leave out --boot.")
      ]
    }
    do throws(OperationError) {
      let machine = try log
      let snapshot = try inVault { () throws(VaultError) in try machine.snapshot() }
      // Which point that is, or that there is none, is another check's.
      guard let point = try? choose(snapshot).point else { return [] }
      var places: [Int: String] = [:]
      for disk in point.disks { places[Int(disk.number)] = "/disk\(disk.number).raw" }
      let plan = try machinePlan(disks: places)
      let findings = parts.provider.check(plan) + (try guestFindings(plan, snapshot, point))
      return findings.map(RecoveryReport.Check.init) + [try checkNetwork(plan)]
    } catch { return [RecoveryReport.Check("machine", .failed, error.message)] }
  }

  private func checkNetwork(_ plan: MachinePlan) throws(OperationError) -> RecoveryReport.Check {
    guard !plan.adapters.isEmpty else {
      return RecoveryReport.Check(
        "network", .warning,
        "No adapter of the machine has a network, so it has no adapter at all. Choose one with --network, or "
          + "with 'tidemark machine set \(name) --network'.")
    }
    let found = "adapters with a network: \(plan.adapters.count)"
    guard let chosen = try record.request?.network else {
      return RecoveryReport.Check("network", .ok, found)
    }
    let own = Set(try desk.service().target(of: name).adapters.compactMap(\.network?.name))
      .subtracting([chosen]).sorted().map { "'\($0)'" }
    return RecoveryReport.Check(
      "network", .ok,
      "\(found), which join '\(chosen)', as was asked for"
        + (own.isEmpty ? "" : ", and not what is set for them: \(own.joined(separator: ", "))"))
  }

  /// What the disks of the chosen point tell of the guest on them.
  private func guestFindings(
    _ plan: MachinePlan, _ snapshot: MachineSnapshot, _ point: RecoveryPoint
  ) throws(OperationError) -> [ComputeFinding] {
    guard let command = parts.guestFacts else {
      return [ComputeFinding("guest", .notChecked, "Nothing here reads a guest's disks.")]
    }
    var (disks, numbers) = ([DiskReader](), [Int]())
    for place in plan.disks {
      guard let disk = point.disks.first(where: { place.path == "/disk\($0.number).raw" }) else {
        continue
      }
      disks.append(
        try inVault { () throws(VaultError) in try snapshot.disk(disk.number, at: point) })
      numbers.append(Int(disk.number))
    }
    let facts = GuestFactsProcess(command: command)
      .facts(of: disks, numbers: numbers, until: .now + .seconds(Self.factsSeconds))
    return GuestCheck(facts, plan).findings()
  }
}

extension RecoveryReport.Check {
  init(_ finding: ComputeFinding) {
    let verdict: Verdict =
      switch finding.verdict {
      case .ok: .ok
      case .warning: .warning
      case .failed: .failed
      case .notChecked: .notChecked
      }
    self.init(
      finding.subject, verdict,
      GuestText.readable([finding.found, finding.advice].compactMap { $0 }.joined(separator: " ")))
  }
}
