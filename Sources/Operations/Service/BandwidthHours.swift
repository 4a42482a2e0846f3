public import Bytes
internal import Catalog

/// When the limit on what a machine's agent may send applies; at other times there is none.
public enum BandwidthHours: Hashable, Sendable, CustomStringConvertible {
  /// Day and night.
  case always
  /// In these hours of each day.
  case daily(DailyHours)

  /// Reads `always`, or hours as ``DailyHours`` does; nil for anything else.
  public init?(_ text: String) {
    if text == "always" {
      self = .always
    } else {
      guard let hours = DailyHours(text) else { return nil }
      self = .daily(hours)
    }
  }

  /// Whether the limit applies at that moment.
  public func apply(at time: Timestamp) -> Bool {
    switch self {
    case .always: true
    case .daily(let hours): hours.contains(time)
    }
  }

  /// As `init` reads it.
  public var description: String {
    switch self {
    case .always: "always"
    case .daily(let hours): hours.description
    }
  }
}

extension MachineSettings {
  /// Bytes a second that the machine's agent may send at that moment; 0 for no limit.
  func bandwidth(at time: Timestamp) -> UInt64 {
    // Hours that can't be read, of a catalog that somebody else wrote, lift no limit.
    let hours = bandwidthHours.flatMap { BandwidthHours($0) } ?? .always
    return hours.apply(at: time) ? UInt64(clamping: bandwidth ?? 0) : 0
  }
}
