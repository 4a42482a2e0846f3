public import Bytes

/// Hours of each day: from one minute of it to another, the second one left out; over midnight if that
/// comes first.
///
/// They are those of UTC, or of a clock a fixed distance from it: summer time is not followed.
public struct DailyHours: Hashable, Sendable, CustomStringConvertible {
  /// The first minute of the day.
  public let from: Int
  /// The minute of the day after the last one.
  public let to: Int
  /// How many minutes the clock of the two is ahead of UTC.
  public let offset: Int

  /// Reads `22:00-06:00` of UTC, or `22:00-06:00+02:00` of a clock that is two hours ahead of it. Nil for
  /// anything else, also for hours without a minute in them.
  public init?(_ text: String) {
    let pattern = /([0-9]{2}):([0-9]{2})-([0-9]{2}):([0-9]{2})(?:Z|([+-])([0-9]{2}):([0-9]{2}))?/
    guard let match = text.wholeMatch(of: pattern),
      let from = Self.minute(match.1, match.2), let to = Self.minute(match.3, match.4), from != to
    else { return nil }
    var offset = 0
    if let sign = match.5, let hours = match.6, let minutes = match.7 {
      guard let distance = Self.minute(hours, minutes), distance <= 14 * 60 else { return nil }
      offset = sign == "-" ? -distance : distance
    }
    (self.from, self.to, self.offset) = (from, to, offset)
  }

  private static func minute(_ hours: Substring, _ minutes: Substring) -> Int? {
    guard let hours = Int(hours), let minutes = Int(minutes), hours < 24, minutes < 60 else {
      return nil
    }
    return hours * 60 + minutes
  }

  /// Whether that moment is within them.
  public func contains(_ time: Timestamp) -> Bool {
    let day = 24 * 60
    let minute = ((Int(time.seconds / 60) + offset) % day + day) % day
    return from < to ? (from..<to).contains(minute) : minute >= from || minute < to
  }

  /// As `init` reads it.
  public var description: String {
    let zone = offset == 0 ? "" : (offset < 0 ? "-" : "+") + Self.clock(abs(offset))
    return "\(Self.clock(from))-\(Self.clock(to))\(zone)"
  }

  private static func clock(_ minute: Int) -> String {
    "\(minute / 600)\(minute / 60 % 10):\(minute % 60 / 10)\(minute % 10)"
  }
}
