public import Bytes
internal import FileIO
public import Vault

/// Reads and checks everything a vault holds.
public struct VerifyVault: Sendable {
  /// The machine to check; nil for all.
  public var machine: String?

  /// Describes the check.
  public init(machine: String?) { self.machine = machine }

  /// What was found of one machine, or of one branch.
  public struct Finding: Sendable {
    /// The machine's name; that of a branch's machine, or its identifier where the vault has none.
    public let machine: String
    /// The branch; nil if this is of the machine itself.
    public let branch: Identifier?
    /// What the branch is; nil where its MANIFEST can't be read.
    public let description: BranchDescription?
    /// What was checked and found; nil if it can't be read at all.
    public let report: CheckReport?
    /// Why it can't be read; nil if it can.
    public let problem: OperationError?

    /// Whether nothing at all was found.
    public var isIntact: Bool { report?.isIntact ?? false }

    /// Whether something is wrong with disks of a drill or a failover.
    public var hasBrokenDisks: Bool {
      branch != nil && problem != nil || report?.damages.contains { !$0.branches.isEmpty } == true
    }

    /// What is wrong with the disks that a branch is, as a sentence; nil if this says nothing of them.
    public func brokenDisks(of id: Identifier) -> String? {
      if branch == id, let problem { return problem.message }
      guard let damage = report?.damages.first(where: { $0.branches.contains(id) }) else {
        return nil
      }
      let place =
        damage.disk.map { disk in
          let bytes = damage.range.map { ", bytes \($0.lowerBound) to \($0.upperBound - 1)" } ?? ""
          return " (disk \(disk)\(bytes))"
        } ?? ""
      return
        "The vault can't read all of its recovered disks: \(damage.what)\(place), '\(damage.file)' at "
        + "\(damage.offset)."
    }
  }

  /// Checks machines, and the branches that stand on them; needs no lock, and branches may be in use, or be removed
  /// meanwhile. Damage is in the findings, it is no error.
  ///
  /// `progress` hears what is checked, how many bytes are done, and how many there are.
  public func run(
    in vault: Vault, progress: @escaping (String, UInt64, UInt64) -> Void,
    cancelled: @escaping () -> Bool
  ) throws(OperationError) -> [Finding] {
    let machines: [Machine] =
      if let machine {
        [try inVault { () throws(VaultError) in try vault.machine(named: machine) }]
      } else { try inVault { () throws(VaultError) in try vault.machines() } }
    let branches = try inVault { () throws(VaultError) in try vault.branchIdentifiers() }
    var findings: [Finding] = []
    for machine in machines {
      let name = machine.name
      let standing = branches.filter { vault.machine(ofBranch: $0) == machine.id }
      findings.append(
        try check(machine.name, nil) { () throws(VaultError) in
          var cuts: [Identifier: BranchCut] = [:]
          for id in standing { cuts[id] = try? vault.readBranch(id, isGlance: true) }
          return try MachineCheck(
            machine, branches: cuts, progress: { progress(name, $0, $1) }, cancelled: cancelled
          ).run()
        })
      for id in standing {
        findings += try check(id, of: name, in: vault, progress, cancelled)
      }
    }
    let known = Set(machines.map(\.id))
    // Of machines that are not there, and of none that any file tells.
    for id in branches where machine == nil {
      let owner = vault.machine(ofBranch: id)
      guard owner.map(known.contains) != true else { continue }
      findings += try check(
        id, of: owner?.description ?? "a machine that nothing names", in: vault, progress, cancelled
      )
    }
    return findings
  }

  /// Checks a branch; nothing if it was removed meanwhile.
  private func check(
    _ id: Identifier, of name: String, in vault: Vault,
    _ progress: @escaping (String, UInt64, UInt64) -> Void, _ cancelled: @escaping () -> Bool
  ) throws(OperationError) -> [Finding] {
    let finding = try check(name, id, (try? vault.branch(id))) { () throws(VaultError) in
      try BranchCheck(
        id, in: vault, progress: { progress("\(name), recovered disks", $0, $1) },
        cancelled: cancelled
      ).run()
    }
    let left = try inVault { () throws(VaultError) in try vault.branchIdentifiers() }
    return left.contains(id) ? [finding] : []
  }

  private func check(
    _ name: String, _ branch: Identifier?, _ description: BranchDescription? = nil,
    _ body: () throws(VaultError) -> CheckReport
  ) throws(OperationError) -> Finding {
    do throws(VaultError) {
      return Finding(
        machine: name, branch: branch, description: description, report: try body(), problem: nil)
    } catch {
      let isGone = branch != nil && error.code == .unknownBranch
      guard error.code == .damaged || error.cause?.isMissing == true || isGone else {
        throw OperationError(error)
      }
      return Finding(
        machine: name, branch: branch, description: description, report: nil,
        problem: OperationError(.damaged, error.message))
    }
  }
}

/// Makes anew what of a vault was lost or damaged and can be made from the rest.
public struct RebuildVault: Sendable {
  /// The vault's directory.
  public var directory: String

  /// Describes the mending.
  public init(directory: String) { self.directory = directory }

  /// Mends; gives what was made anew. Takes the vault's lock.
  public func run() throws(OperationError) -> [Rebuild.Outcome] {
    try inVault { () throws(VaultError) in try Rebuild.run(at: directory) }
  }
}
