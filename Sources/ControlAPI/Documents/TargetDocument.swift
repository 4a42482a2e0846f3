internal import Catalog
public import Operations

/// What a machine is to be once it is recovered, as JSON.
public struct TargetDocument: Codable, Sendable {
  /// A network adapter, as JSON.
  public struct Adapter: Codable, Sendable {
    /// Which adapter, from 0.
    public let number: Int
    /// The network that it is attached to; none while nobody has said.
    public let network: String?
    /// The addresses of that network, as far as they are known.
    public let subnet: String?
    /// The address that it gets there; none for any that is free.
    public let address: String?
    /// Its hardware address; none for a new one.
    public let hardwareAddress: String?
    /// What the machine itself calls it.
    public let sourceName: String?
    /// The addresses that it has on the machine itself.
    public let sourceAddresses: [String]
  }

  /// The name of the recovered machine.
  public let name: String
  /// Processors.
  public let cores: Int
  /// Bytes of memory.
  public let memoryBytes: UInt64
  /// `bios` or `uefi`.
  public let firmware: String
  /// The disk with the operating system; none if the machine has no disk yet.
  public let systemDisk: Int?
  /// Its disks, as they are attached.
  public let diskOrder: [Int]
  /// Its adapters, by number.
  public let adapters: [Adapter]
  /// The fields that an operator chose; the others follow from the machine itself.
  public let chosen: [String]
  /// What speaks against it on the service's host and does not forbid it.
  public let warnings: [String]

  init(_ target: TargetProperties) {
    (name, cores, firmware) = (target.name, target.cores, target.firmware.rawValue)
    memoryBytes = UInt64(target.memory) << 20
    (systemDisk, diskOrder) = (target.systemDisk, target.diskOrder)
    adapters = target.adapters.map { adapter in
      Adapter(
        number: adapter.number, network: adapter.network?.name, subnet: adapter.network?.subnet,
        address: adapter.address, hardwareAddress: adapter.hardwareAddress,
        sourceName: adapter.sourceName, sourceAddresses: adapter.sourceAddresses)
    }
    (chosen, warnings) = (target.chosenFields, target.warnings)
  }
}

/// What is to be another way in what a machine is to be, as JSON; what is left out stays.
public struct TargetChangesDocument: Codable, Sendable {
  /// What is to be another way of an adapter, as JSON.
  public struct Adapter: Codable, Sendable {
    /// Which adapter, from 0.
    public var number: Int
    /// The network; empty to configure that later.
    public var network: String?
    /// The address; empty for any that is free.
    public var address: String?
    /// The hardware address; empty for the machine's own, or a new one.
    public var hardwareAddress: String?
  }

  /// The name; empty for the machine's own.
  public var name: String?
  /// Processors; 0 for as many as the machine has.
  public var cores: Int?
  /// Bytes of memory, whole MiB; 0 for as much as the machine has.
  public var memoryBytes: Int64?
  /// `bios` or `uefi`; empty for what the machine has.
  public var firmware: String?
  /// The disk with the operating system; -1 for the lowest.
  public var systemDisk: Int?
  /// All replicated disks, as they are to be attached; empty for the usual order.
  public var diskOrder: [Int]?
  /// Changes of adapters.
  public var adapters: [Adapter]?

  /// Changes as JSON.
  public init(_ changes: TargetChanges) {
    (name, cores, firmware) = (changes.name, changes.cores, changes.firmware)
    memoryBytes = changes.memory.map { Int64($0) << 20 }
    (systemDisk, diskOrder) = (changes.systemDisk, changes.diskOrder)
    adapters = changes.adapters.map {
      Adapter(
        number: $0.number, network: $0.network, address: $0.address,
        hardwareAddress: $0.hardwareAddress)
    }
  }

  /// - Throws: `.refused` for memory that is not whole MiB.
  func changes() throws(OperationError) -> TargetChanges {
    var changes = TargetChanges()
    (changes.name, changes.cores, changes.firmware) = (name, cores, firmware)
    if let memoryBytes {
      guard memoryBytes >= 0, memoryBytes % (1 << 20) == 0 else {
        throw OperationError(.refused, "memoryBytes is a multiple of 1048576.")
      }
      changes.memory = Int(clamping: memoryBytes >> 20)
    }
    (changes.systemDisk, changes.diskOrder) = (systemDisk, diskOrder)
    changes.adapters = (adapters ?? []).map { adapter in
      var change = TargetChanges.Adapter(number: adapter.number)
      (change.network, change.address) = (adapter.network, adapter.address)
      change.hardwareAddress = adapter.hardwareAddress
      return change
    }
    return changes
  }
}

/// Whether machines could be recovered here, as JSON.
public struct TargetCheckDocument: Codable, Sendable {
  /// One thing that was looked at, as JSON.
  public struct Check: Codable, Sendable {
    /// What was looked at.
    public let subject: String
    /// `ok`, `warning`, `refused` or `notChecked`.
    public let verdict: String
    /// What was found.
    public let found: String
    /// What to do about it.
    public let advice: String?
  }

  /// `ok`, `warning` or `refused`: the worst of all.
  public let verdict: String
  /// What was looked at.
  public let checks: [Check]

  init(_ findings: [HostFinding]) {
    let worst = [HostFinding.Verdict.refused, .warning].first { verdict in
      findings.contains { $0.verdict == verdict }
    }
    verdict = (worst ?? .ok).rawValue
    checks = findings.map {
      Check(
        subject: $0.subject, verdict: $0.verdict.rawValue, found: $0.found, advice: $0.advice)
    }
  }
}
