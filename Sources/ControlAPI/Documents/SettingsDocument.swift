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
  /// When a resynchronisation that is required begins by itself: `automatic`, `manual`, or hours such
  /// as `22:00-06:00` of UTC or `22:00-06:00+02:00`.
  public var resyncWindow: String?
  /// The process server that its agent sends to; `service` is the service itself.
  public var processServer: String?

  init(_ settings: MachineSettings) {
    (cycleSeconds, applicationSeconds) = (settings.cycleSeconds, settings.applicationSeconds)
    bandwidth = settings.bandwidth ?? 0
    resyncWindow = settings.resyncWindow ?? ResynchronisationWindow.automatic.description
    processServer = settings.processServer ?? VaultService.ownServer
  }

  /// Changes as JSON.
  public init(_ changes: MachineChanges) {
    (cycleSeconds, applicationSeconds) = (changes.cycleSeconds, changes.applicationSeconds)
    (bandwidth, processServer) = (changes.bandwidth, changes.processServer)
    resyncWindow = changes.resyncWindow?.description
  }

  /// - Throws: `.refused` for a window that is none.
  func changes() throws(OperationError) -> MachineChanges {
    var changes = MachineChanges()
    (changes.cycleSeconds, changes.applicationSeconds) = (cycleSeconds, applicationSeconds)
    (changes.bandwidth, changes.processServer) = (bandwidth, processServer)
    if let resyncWindow {
      guard let window = ResynchronisationWindow(resyncWindow) else {
        throw OperationError(
          .refused,
          "resyncWindow is 'automatic', 'manual', or hours such as '22:00-06:00' of UTC or "
            + "'22:00-06:00+02:00', not '\(resyncWindow)'.")
      }
      changes.resyncWindow = window
    }
    return changes
  }
}
