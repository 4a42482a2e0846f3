internal import Catalog
public import Operations
internal import Vault

/// How a machine is replicated, as JSON; to change it, what is to be another way.
public struct SettingsDocument: Codable, Sendable {
  /// Seconds between the beginnings of two cycles.
  public var cycleSeconds: Int?
  /// Seconds between two app-consistent points; 0 for none.
  public var applicationSeconds: Int?
  /// Bytes a second that its agent may send; 0 for no limit.
  public var bandwidth: Int64?
  /// When that limit applies: `always`, or hours such as `08:00-18:00` of UTC or `08:00-18:00+02:00`.
  public var bandwidthHours: String?
  /// When a resynchronisation that is required begins by itself: `automatic`, `manual`, or hours such
  /// as `22:00-06:00` of UTC or `22:00-06:00+02:00`.
  public var resyncWindow: String?
  /// The process server that its agent sends to; `service` is the service itself.
  public var processServer: String?
  /// Seconds of age of the newest recovery point from which on there is a warning.
  public var rpoSeconds: Int?
  /// Its internal address, as far as one is known.
  public var address: String?
  /// To change what runs on it: `linux` or `windows`. The machine's own document tells what does.
  public var operatingSystem: String?
  /// What it is to be once it is recovered; only in an answer.
  public var target: TargetDocument?
  /// What speaks against what was changed and did not forbid it; only in the answer to a change.
  public var warnings: [String]?

  init(_ settings: MachineSettings, warnings: [String]? = nil) {
    (cycleSeconds, applicationSeconds) = (settings.cycleSeconds, settings.applicationSeconds)
    bandwidth = settings.bandwidth ?? 0
    bandwidthHours = settings.bandwidthHours ?? BandwidthHours.always.description
    resyncWindow = settings.resyncWindow ?? ResynchronisationWindow.automatic.description
    processServer = settings.processServer ?? VaultService.ownServer
    (rpoSeconds, address) = (settings.rpoSeconds, settings.address)
    self.warnings = warnings
  }

  /// Nothing but what a machine is to be.
  public init(target: TargetDocument) { self.target = target }

  /// Changes as JSON.
  public init(_ changes: MachineChanges) {
    (cycleSeconds, applicationSeconds) = (changes.cycleSeconds, changes.applicationSeconds)
    (bandwidth, processServer) = (changes.bandwidth, changes.processServer)
    bandwidthHours = changes.bandwidthHours?.description
    resyncWindow = changes.resyncWindow?.description
    (rpoSeconds, address) = (changes.rpoSeconds, changes.address)
    operatingSystem = changes.operatingSystem?.name
  }

  /// - Throws: `.refused` for hours, a window or an operating system that are none.
  func changes() throws(OperationError) -> MachineChanges {
    var changes = MachineChanges()
    (changes.cycleSeconds, changes.applicationSeconds) = (cycleSeconds, applicationSeconds)
    (changes.bandwidth, changes.processServer) = (bandwidth, processServer)
    (changes.rpoSeconds, changes.address) = (rpoSeconds, address)
    changes.bandwidthHours = try Self.read(
      bandwidthHours, "bandwidthHours",
      "'always', or hours such as '08:00-18:00' of UTC or '08:00-18:00+02:00'"
    ) { BandwidthHours($0) }
    changes.resyncWindow = try Self.read(
      resyncWindow, "resyncWindow",
      "'automatic', 'manual', or hours such as '22:00-06:00' of UTC or '22:00-06:00+02:00'"
    ) { ResynchronisationWindow($0) }
    changes.operatingSystem = try Self.read(
      operatingSystem, "operatingSystem", "'linux' or 'windows'"
    ) { word in OperatingSystem.allCases.first { $0.name == word } }
    return changes
  }

  private static func read<Value>(
    _ text: String?, _ field: String, _ choice: String, _ body: (String) -> Value?
  ) throws(OperationError) -> Value? {
    guard let text else { return nil }
    guard let value = body(text) else {
      throw OperationError(.refused, "\(field) is \(choice), not '\(text)'.")
    }
    return value
  }
}
