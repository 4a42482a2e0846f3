internal import Bytes
public import Catalog
internal import Compute
internal import FileIO
internal import Synchronization
internal import Vault

/// Starting and stopping the machines of drills and failovers.
extension VaultService {
  /// A machine of a drill or a failover, with what it is run by.
  struct Recovered: Sendable {
    let subject: RecoveryDesk.Subject
    let standing: RecoveryStanding
    let record: RecoveryRecord
    let branch: Identifier
    let isTest: Bool
    let parts: RecoveryParts

    var name: String { subject.name }
    var directory: String { parts.directory(branch) }
    /// What runs it.
    var provider: any ComputeProvider { parts.provider(of: record) }
  }

  /// The machine of a drill, or of a failover.
  ///
  /// - Throws: `.unknown`, `.refused` if there is none.
  func recovered(_ name: String, isTest: Bool) throws(OperationError) -> Recovered {
    let subject = try recovery.subject(named: name)
    let (standing, record) = try recovery.standing(of: subject)
    let isThere =
      isTest
      ? standing.state == .testActive : standing.state.hasFailedOverDisks || standing.keepsDisks
    guard isThere, let record, let branch = record.branch else {
      throw OperationError(
        .refused,
        "There is no \(isTest ? "test failover" : "failover") of '\(name)' whose machine could be started, "
          + "stopped or reached: it \(standing.state.words). \(Self.advice(standing.state, isTest, name))"
      )
    }
    return Recovered(
      subject: subject, standing: standing, record: record, branch: branch, isTest: isTest,
      parts: try recovery.tools())
  }

  private static func advice(
    _ state: RecoveryState, _ isTest: Bool, _ name: String
  ) -> String {
    if !isTest, state == .testActive { return "Add --test for that of the test failover." }
    if isTest, state.hasFailedOverDisks { return "Leave out --test for that of the failover." }
    return "'tidemark \(isTest ? "test-failover" : "failover") start \(name)' makes one."
  }

  /// Whether the machine of a drill or a failover runs, and how it is reached.
  ///
  /// - Throws: `.unknown`; `.refused` if there is none; `.failed` if it can't be found out.
  public func power(of name: String, isTest: Bool) throws(OperationError) -> MachinePower {
    try power(of: try recovered(name, isTest: isTest))
  }

  /// The same of whichever there is; nil if there is none, or it can't be told.
  public func power(of name: String) -> MachinePower? {
    guard let subject = try? recovery.subject(named: name),
      let state = try? recovery.standing(of: subject).standing.state
    else { return nil }
    return try? power(of: name, isTest: state == .testActive)
  }

  private func power(of machine: Recovered) throws(OperationError) -> MachinePower {
    let (provider, directory) = (machine.provider, machine.directory)
    let served = try machine.parts.servers.served(machine.branch)
    return try inCompute { () throws(ComputeError) in
      do throws(ComputeError) {
        let seen = try provider.observe(in: directory)
        let connections = seen == nil ? nil : try provider.connections(in: directory)
        return MachinePower(
          seen, connections, provider: provider.kind, served: served, isTest: machine.isTest)
      } catch {
        guard error.code == .unresponsive else { throw error }
        return MachinePower(
          silent: error.message, provider: provider.kind, served: served, isTest: machine.isTest)
      }
    }
  }

  /// The last of what a machine wrote to its serial console, also after it went down.
  ///
  /// - Throws: `.unknown`, `.refused` if there is no such machine.
  public func console(
    of name: String, isTest: Bool, limit: Int
  ) throws(OperationError) -> [UInt8] {
    let machine = try recovered(name, isTest: isTest)
    return try inCompute { () throws(ComputeError) in
      try machine.parts.provider.console(in: machine.directory, limit: limit)
    }
  }

  /// Begins to start the machine of a drill or a failover; one that runs stays as it is. Where no machine is
  /// run, its disks can be written to again; with `boots` one is run from now on.
  ///
  /// - Throws: `.unknown`; `.refused` if there is none, or something is being done to it.
  public func startMachine(
    _ name: String, isTest: Bool, boots: Bool = false, by operator: String?
  ) throws(OperationError) -> JobRecord {
    try beginPower(.start, name, isTest, `operator`) { [self] _, machine throws(OperationError) in
      try bringUp(machine, boots: boots)
    }
  }

  /// Begins to stop the machine of a drill or a failover; nothing happens if it is off. Where no machine is
  /// run, its disks refuse writes once nobody has them open.
  ///
  /// - Throws: `.unknown`; `.refused` if there is none, or something is being done to it.
  public func stopMachine(
    _ name: String, isTest: Bool, _ request: MachineStopRequest, by operator: String?
  ) throws(OperationError) -> JobRecord {
    guard MachineStopRequest.limits.contains(request.seconds) else {
      throw OperationError(.refused, "A machine has from 1 s to 1 h to stop.")
    }
    return try beginPower(.stop, name, isTest, `operator`) {
      [self] job, machine throws(OperationError) in
      try bringDown(machine, request, job)
    }
  }
}
