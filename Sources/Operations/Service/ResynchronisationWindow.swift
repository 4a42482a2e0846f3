public import Bytes

/// When a resynchronisation that is required begins by itself.
///
/// A window says when it may begin; one that has begun goes on to its end.
public enum ResynchronisationWindow: Hashable, Sendable, CustomStringConvertible {
  /// At once.
  case automatic
  /// Only when a person says so.
  case manual
  /// In these hours.
  case daily(DailyHours)

  /// Reads `automatic`, `manual`, or hours as ``DailyHours`` does; nil for anything else.
  public init?(_ text: String) {
    switch text {
    case "automatic": self = .automatic
    case "manual": self = .manual
    default:
      guard let hours = DailyHours(text) else { return nil }
      self = .daily(hours)
    }
  }

  /// Whether one may begin at that moment.
  public func isOpen(at time: Timestamp) -> Bool {
    switch self {
    case .automatic: true
    case .manual: false
    case .daily(let hours): hours.contains(time)
    }
  }

  /// As `init` reads it.
  public var description: String {
    switch self {
    case .automatic: "automatic"
    case .manual: "manual"
    case .daily(let hours): hours.description
    }
  }
}
