public import Bytes
internal import GRDB

/// How a machine is replicated, as the operator set it.
public struct MachineSettings: Codable, Hashable, Sendable {
  /// The machine.
  public var machine: Identifier
  /// Whether replication rests.
  public var isPaused = false
  /// Seconds between the beginnings of two cycles.
  public var cycleSeconds = 300
  /// Seconds between two app-consistent points; 0 for none.
  public var applicationSeconds = 3600
  /// The name of the process server it sends to; nil for the service itself.
  public var processServer: String?
  /// Bytes a second it may send; nil for no limit.
  public var bandwidth: Int64?
  /// The hours in which that limit applies; nil for always.
  public var bandwidthHours: String?
  /// Seconds of age of the newest recovery point from which on there is a warning.
  public var rpoSeconds = 900
  /// The machine's internal address, as the operator knows it.
  public var address: String?
  /// When protection was enabled.
  public var enabled: Timestamp?
  /// When a resynchronisation that is required may begin; nil for at once.
  public var resyncWindow: String?

  /// The usual settings.
  public init(machine: Identifier) { self.machine = machine }
}

extension MachineSettings: Kept {
  static var table: String { "machineSettings" }
}

extension Catalog {
  /// Keeps a machine's settings, in the place of what was.
  public func set(_ settings: MachineSettings) throws(CatalogError) { try put(settings) }

  /// A machine's settings; the usual ones if none were kept.
  public func settings(of machine: Identifier) throws(CatalogError) -> MachineSettings {
    try first(MachineSettings.self, where: "machine = ?", [machine.description])
      ?? MachineSettings(machine: machine)
  }

  /// Changes a machine's settings, whatever another thread changes of them meanwhile; gives what they are
  /// then.
  public func changeSettings(
    of machine: Identifier, _ body: (inout MachineSettings) -> Void
  ) throws(CatalogError) -> MachineSettings {
    try write { database in
      let known = try Self.first(
        MachineSettings.self, where: "machine = ?", [machine.description], database)
      var settings = known ?? MachineSettings(machine: machine)
      body(&settings)
      try Stored(settings).upsert(database)
      return settings
    }
  }

  /// Forgets a machine's settings.
  public func removeSettings(of machine: Identifier) throws(CatalogError) {
    try change("DELETE FROM machineSettings WHERE machine = ?", [machine.description])
    try removeRelayedSession(of: machine)
  }
}
