internal import Catalog
public import Operations

/// How a machine is replicated, as JSON; to change it, what is to be another way.
public struct SettingsDocument: Codable, Sendable {
  /// Seconds between the beginnings of two cycles.
  public var cycleSeconds: Int?
  /// Seconds between two app-consistent points; 0 for none.
  public var applicationSeconds: Int?
  /// Bytes a second that its agent may send; 0 for no limit.
  public var bandwidth: Int64?

  init(_ settings: MachineSettings) {
    (cycleSeconds, applicationSeconds) = (settings.cycleSeconds, settings.applicationSeconds)
    bandwidth = settings.bandwidth ?? 0
  }

  /// Changes as JSON.
  public init(_ changes: MachineChanges) {
    (cycleSeconds, applicationSeconds) = (changes.cycleSeconds, changes.applicationSeconds)
    bandwidth = changes.bandwidth
  }

  var changes: MachineChanges {
    var changes = MachineChanges()
    (changes.cycleSeconds, changes.applicationSeconds) = (cycleSeconds, applicationSeconds)
    changes.bandwidth = bandwidth
    return changes
  }
}
