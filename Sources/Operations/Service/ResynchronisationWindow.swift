public import Bytes

/// When a resynchronisation that is required begins by itself.
///
/// A window says when it may begin; one that has begun goes on to its end. Its hours are those of UTC,
/// or of a fixed distance from it: summer time is not followed.
public enum ResynchronisationWindow: Hashable, Sendable, CustomStringConvertible {
  /// At once.
  case automatic
  /// Only when a person says so.
  case manual
  /// On each day between two minutes of it, the second one left out; over midnight if it comes first.
  /// `offset` is how many minutes the clock of the two is ahead of UTC.
  case daily(from: Int, to: Int, offset: Int)

  /// Reads `automatic`, `manual`, or hours: `22:00-06:00` of UTC, `22:00-06:00+02:00` of a clock that is
  /// two hours ahead of it. Nil for anything else, also for a window without a minute in it.
  public init?(_ text: String) {
    switch text {
    case "automatic": self = .automatic
    case "manual": self = .manual
    default:
      let pattern = /([0-9]{2}):([0-9]{2})-([0-9]{2}):([0-9]{2})(?:Z|([+-])([0-9]{2}):([0-9]{2}))?/
      guard let match = text.wholeMatch(of: pattern),
        let from = Self.minute(match.1, match.2), let to = Self.minute(match.3, match.4), from != to
      else { return nil }
      var offset = 0
      if let sign = match.5, let hours = match.6, let minutes = match.7 {
        guard let distance = Self.minute(hours, minutes), distance <= 14 * 60 else { return nil }
        offset = sign == "-" ? -distance : distance
      }
      self = .daily(from: from, to: to, offset: offset)
    }
  }

  private static func minute(_ hours: Substring, _ minutes: Substring) -> Int? {
    guard let hours = Int(hours), let minutes = Int(minutes), hours < 24, minutes < 60 else {
      return nil
    }
    return hours * 60 + minutes
  }

  /// Whether one may begin at that moment.
  public func isOpen(at time: Timestamp) -> Bool {
    switch self {
    case .automatic: return true
    case .manual: return false
    case .daily(let from, let to, let offset):
      let day = 24 * 60
      let minute = ((Int(time.seconds / 60) + offset) % day + day) % day
      return from < to ? (from..<to).contains(minute) : minute >= from || minute < to
    }
  }

  /// As `init` reads it.
  public var description: String {
    switch self {
    case .automatic: return "automatic"
    case .manual: return "manual"
    case .daily(let from, let to, let offset):
      let zone =
        offset == 0 ? "" : (offset < 0 ? "-" : "+") + Self.clock(abs(offset))
      return "\(Self.clock(from))-\(Self.clock(to))\(zone)"
    }
  }

  private static func clock(_ minute: Int) -> String {
    "\(minute / 600)\(minute / 60 % 10):\(minute % 60 / 10)\(minute % 10)"
  }
}
