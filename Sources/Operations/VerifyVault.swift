internal import FileIO
public import Vault

/// Reads and checks everything a vault holds.
public struct VerifyVault: Sendable {
  /// The machine to check; nil for all.
  public var machine: String?

  /// Describes the check.
  public init(machine: String?) { self.machine = machine }

  /// What was found of one machine.
  public struct Finding: Sendable {
    /// The machine's name.
    public let machine: String
    /// What was checked and found; nil if the machine can't be read at all.
    public let report: CheckReport?
    /// Why it can't be read; nil if it can.
    public let problem: OperationError?

    /// Whether nothing at all was found.
    public var isIntact: Bool { report?.isIntact ?? false }
  }

  /// Checks; needs no lock. Damage is in the findings, it is no error.
  ///
  /// `progress` hears which machine is checked, how many bytes are done, and how many there are.
  public func run(
    in vault: Vault, progress: @escaping (String, UInt64, UInt64) -> Void,
    cancelled: @escaping () -> Bool
  ) throws(OperationError) -> [Finding] {
    let machines: [Machine] =
      if let machine {
        [try inVault { () throws(VaultError) in try vault.machine(named: machine) }]
      } else { try inVault { () throws(VaultError) in try vault.machines() } }
    var findings: [Finding] = []
    for machine in machines {
      let name = machine.name
      do throws(VaultError) {
        let check = try MachineCheck(
          machine, progress: { progress(name, $0, $1) }, cancelled: cancelled)
        findings.append(Finding(machine: name, report: try check.run(), problem: nil))
      } catch {
        guard error.code == .damaged || error.cause?.isMissing == true else {
          throw OperationError(error)
        }
        findings.append(
          Finding(machine: name, report: nil, problem: OperationError(.damaged, error.message)))
      }
    }
    return findings
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
