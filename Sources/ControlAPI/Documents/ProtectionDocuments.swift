internal import Catalog
public import Operations
internal import Vault

/// How protection of a machine is to be enabled, as JSON.
public struct ProtectionDocument: Codable, Sendable {
  /// Numbers of disks that are not replicated; none if nothing is said.
  public var exclude: [Int]?
  /// Seconds between the beginnings of two cycles; what was set before, or 300, if nothing is said.
  public var cycleSeconds: Int?
  /// Seconds between two app-consistent points, 0 for none; what was set before, or 3600, if nothing is
  /// said.
  public var applicationSeconds: Int?
  /// The RPO threshold; what was set before, or 900, or three cycles if they take longer, if nothing is
  /// said.
  public var rpoSeconds: Int?
  /// `linux` or `windows`; what the agent says if nothing is said.
  public var operatingSystem: String?
  /// The machine's internal address; what was set before, or the first the agent tells, if nothing is
  /// said.
  public var address: String?
  /// Whether what the agent's preflight found is not to count.
  public var skipPreflight: Bool?
  /// The process server that it sends to; the one it was assigned before, or the service, if nothing is
  /// said.
  public var processServer: String?

  /// Options as JSON.
  public init(_ options: ProtectionOptions) {
    exclude = options.excluded.sorted()
    (cycleSeconds, applicationSeconds) = (options.cycleSeconds, options.applicationSeconds)
    (rpoSeconds, address) = (options.rpoSeconds, options.address)
    (skipPreflight, processServer) = (options.skipsPreflight, options.processServer)
    operatingSystem = options.operatingSystem?.name
  }

  var options: ProtectionOptions {
    var options = ProtectionOptions()
    options.excluded = Set(exclude ?? [])
    (options.cycleSeconds, options.applicationSeconds) = (cycleSeconds, applicationSeconds)
    (options.rpoSeconds, options.address) = (rpoSeconds, address)
    options.skipsPreflight = skipPreflight ?? false
    options.processServer = processServer
    options.operatingSystem = OperatingSystem.allCases.first { $0.name == operatingSystem }
    return options
  }
}

/// What applies to a machine once its protection is enabled, as JSON.
public struct ProtectionPlanDocument: Codable, Sendable {
  /// A disk of the machine, as JSON.
  public struct Disk: Codable, Sendable {
    /// Which disk.
    public let number: Int
    /// Where it is on the machine.
    public let source: String
    /// Bytes; none if the agent could not tell.
    public let size: UInt64?
    /// `scan` or `reflink`.
    public let capture: String
    /// Whether it is not replicated.
    public let isExcluded: Bool
    /// Whether it holds the operating system.
    public let isSystem: Bool
  }

  /// The machine.
  public let machine: String
  /// `linux` or `windows`.
  public let operatingSystem: String
  /// Its internal address, as far as one is known.
  public let address: String?
  /// Its disks.
  public let disks: [Disk]
  /// Seconds between the beginnings of two cycles.
  public let cycleSeconds: Int
  /// Seconds between two app-consistent points; 0 for none.
  public let applicationSeconds: Int
  /// The RPO threshold.
  public let rpoSeconds: Int
  /// What speaks against it and does not forbid it.
  public let warnings: [String]

  init(_ plan: ProtectionPlan) {
    (machine, operatingSystem) = (plan.agent.name, plan.operatingSystem.name)
    (address, warnings) = (plan.settings.address, plan.warnings)
    disks = plan.disks.map { planned in
      let disk = planned.disk
      return Disk(
        number: disk.number, source: disk.path, size: disk.size, capture: disk.capture,
        isExcluded: planned.isExcluded, isSystem: planned.isSystem)
    }
    cycleSeconds = plan.settings.cycleSeconds
    applicationSeconds = plan.settings.applicationSeconds
    rpoSeconds = plan.settings.rpoSeconds
  }
}

/// Machines whose agents are asked to tell anew, as JSON.
public struct RefreshDocument: Codable, Sendable {
  /// The machines' names; all that enrolled if there is none.
  public var machines: [String]?

  /// Asks these.
  public init(machines: [String]) { self.machines = machines }
}
