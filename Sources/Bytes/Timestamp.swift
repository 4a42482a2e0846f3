/// A moment, in nanoseconds since 1970-01-01T00:00:00Z without leap seconds.
public struct Timestamp: RawRepresentable, Codable, Hashable, Comparable, Sendable {
  /// Nanoseconds since 1970; negative before.
  public var rawValue: Int64

  /// The moment this many nanoseconds after 1970 began.
  public init(rawValue: Int64) { self.rawValue = rawValue }

  /// The moment this many seconds after 1970 began, held inside what the type can express.
  public init(seconds: Int64) {
    let (nanoseconds, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
    rawValue = overflow ? (seconds < 0 ? .min : .max) : nanoseconds
  }

  /// Whole seconds since 1970, rounded down.
  public var seconds: Int64 {
    let (quotient, remainder) = rawValue.quotientAndRemainder(dividingBy: 1_000_000_000)
    return remainder < 0 ? quotient - 1 : quotient
  }

  /// Orders by time, the earlier moment first.
  public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }

  /// `YYYYMMDDTHHMMSSZ`: the form used in names, because it holds no colon.
  public var compact: String { CivilTime(self).compact }

  /// `YYYY-MM-DDTHH:MM:SSZ`, with `.fraction` before the `Z` where the moment has one.
  public var iso8601: String {
    // Wrapping: near the earliest moment the whole seconds alone lie outside the range.
    let fraction = rawValue &- seconds &* 1_000_000_000
    let base = CivilTime(self).extended
    guard fraction > 0 else { return base + "Z" }
    var digits = CivilTime.padded(fraction, 9)
    while digits.hasSuffix("0") { digits.removeLast() }
    return base + "." + digits + "Z"
  }
}

/// The calendar fields of a moment in UTC, proleptic Gregorian.
struct CivilTime {
  var year: Int64
  var month: Int64
  var day: Int64
  var hour: Int64
  var minute: Int64
  var second: Int64

  /// Splits a moment, by Howard Hinnant's `civil_from_days`
  /// (howardhinnant.github.io/date_algorithms.html).
  init(_ moment: Timestamp) {
    let seconds = moment.seconds
    let days = seconds >= 0 ? seconds / 86400 : (seconds - 86399) / 86400
    let rest = seconds - days * 86400
    (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60)
    let shifted = days + 719_468
    let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
    let dayOfEra = shifted - era * 146_097
    let yearOfEra =
      (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
    month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
  }

  /// Builds a date and time from its fields; nil if there is no such date or time.
  init?(year: Int64, month: Int64, day: Int64, hour: Int64, minute: Int64, second: Int64) {
    (self.year, self.month, self.day) = (year, month, day)
    (self.hour, self.minute, self.second) = (hour, minute, second)
    guard (1...9999).contains(year), (1...12).contains(month), (1...31).contains(day),
      (0...23).contains(hour), (0...59).contains(minute), (0...59).contains(second)
    else { return nil }
    let normal = CivilTime(Timestamp(seconds: epochSeconds))
    guard normal.month == month, normal.day == day else { return nil }
  }

  /// Seconds since 1970, by Hinnant's `days_from_civil`.
  var epochSeconds: Int64 {
    let shiftedYear = month <= 2 ? year - 1 : year
    let era = (shiftedYear >= 0 ? shiftedYear : shiftedYear - 399) / 400
    let yearOfEra = shiftedYear - era * 400
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
    let days = era * 146_097 + dayOfEra - 719_468
    return days * 86400 + hour * 3600 + minute * 60 + second
  }

  static func padded(_ value: Int64, _ width: Int) -> String {
    let text = String(value)
    return String(repeating: "0", count: max(0, width - text.count)) + text
  }

  var compact: String {
    Self.padded(year, 4) + Self.padded(month, 2) + Self.padded(day, 2) + "T"
      + Self.padded(hour, 2) + Self.padded(minute, 2) + Self.padded(second, 2) + "Z"
  }

  var extended: String {
    Self.padded(year, 4) + "-" + Self.padded(month, 2) + "-" + Self.padded(day, 2) + "T"
      + Self.padded(hour, 2) + ":" + Self.padded(minute, 2) + ":" + Self.padded(second, 2)
  }
}
