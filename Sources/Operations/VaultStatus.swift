public import Bytes
public import Vault

/// How well a machine is protected, as far as its vault knows.
public struct MachineStatus: Sendable {
  /// How urgently somebody should look.
  public enum Health: String, Sendable, CaseIterable, Comparable {
    /// All is well.
    case healthy
    /// Something should be seen to.
    case warning
    /// The machine could not be brought back as it should.
    case critical

    /// Orders by urgency.
    public static func < (left: Self, right: Self) -> Bool {
      left.urgency < right.urgency
    }

    private var urgency: Int {
      switch self {
      case .healthy: 0
      case .warning: 1
      case .critical: 2
      }
    }
  }

  /// The machine.
  public let machine: MachineSummary
  /// How urgently somebody should look.
  public let health: Health
  /// Why, in sentences; empty if all is well.
  public let reasons: [String]
  /// Nanoseconds between the newest time the source vouches for and now: what would be lost if the
  /// machine failed now. Nil before the first point.
  public let rpo: Int64?

  /// Judges a machine.
  ///
  /// - Parameters:
  ///   - machine: what is known of it.
  ///   - now: this moment.
  ///   - threshold: nanoseconds the RPO may reach; nil for no limit.
  public init(_ machine: MachineSummary, now: Timestamp, threshold: Int64?) {
    self.machine = machine
    rpo = machine.windowEnd.map { max(0, now.rawValue - $0.rawValue) }
    if let problem = machine.problem {
      (health, reasons) = (.critical, [problem.message])
    } else if let rpo, let threshold, rpo > threshold {
      (health, reasons) = (.warning, ["The newest recovery point is older than the threshold."])
    } else if rpo == nil {
      let advice = "run 'tidemark replicate \(machine.name)'."
      (health, reasons) = (.warning, ["It has no recovery point yet: \(advice)"])
    } else {
      (health, reasons) = (.healthy, [])
    }
  }
}

/// How well the machines of a vault are protected.
public struct VaultStatus: Sendable {
  /// The vault.
  public let vault: VaultSummary
  /// Its machines, by name.
  public let machines: [MachineStatus]

  /// Judges all machines of a vault; reads nothing but what lists need.
  ///
  /// - Parameters:
  ///   - vault: the vault.
  ///   - now: this moment.
  ///   - threshold: nanoseconds the RPO may reach; nil for no limit.
  /// - Throws: if the vault's machines can't even be listed.
  public init(of vault: Vault, now: Timestamp, threshold: Int64?) throws(OperationError) {
    self.vault = try VaultSummary(vault)
    machines = self.vault.machines.map { MachineStatus($0, now: now, threshold: threshold) }
  }

  /// The most urgent of all.
  public var health: MachineStatus.Health { machines.map(\.health).max() ?? .healthy }
}
