/// A moment as a person writes it: absolute, or so long ago.
///
/// The spellings: `20261120T103205Z`, `2026-11-20T10:32:05Z` (either with up to nine digits of
/// fraction after the seconds), `@1795170725` (seconds since 1970, fraction allowed) and `5m-ago`
/// (`s`, `m`, `h`, `d`, `w`).
public enum Instant: Hashable, Sendable {
  /// This very moment.
  case absolute(Timestamp)
  /// So many seconds before now.
  case ago(seconds: Int64)

  /// Reads one of the spellings; nil if `text` is none of them.
  public init?(_ text: String) {
    if text.hasPrefix("@") {
      guard let moment = Self.decimal(text.dropFirst()) else { return nil }
      self = .absolute(moment)
    } else if text.hasSuffix("-ago") {
      guard let seconds = Self.duration(text.dropLast(4)) else { return nil }
      self = .ago(seconds: seconds)
    } else {
      guard let moment = Self.calendar(text) else { return nil }
      self = .absolute(moment)
    }
  }

  private static func decimal(_ text: Substring) -> Timestamp? {
    let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
    guard let first = parts.first, let seconds = digits(first), seconds < 1 << 33
    else { return nil }
    guard parts.count == 2 else { return Timestamp(seconds: seconds) }
    guard let fraction = fraction(parts[1]) else { return nil }
    return Timestamp(rawValue: seconds * 1_000_000_000 + fraction)
  }

  private static func duration(_ text: Substring) -> Int64? {
    let units: [Character: Int64] = ["s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604_800]
    guard let last = text.last, let unit = units[last], let count = digits(text.dropLast())
    else { return nil }
    let (seconds, overflow) = count.multipliedReportingOverflow(by: unit)
    return overflow || seconds > 1 << 33 ? nil : seconds
  }

  /// `YYYYMMDDTHHMMSS[.fraction]Z`, with or without `-` and `:` at their places.
  private static func calendar(_ text: String) -> Timestamp? {
    guard text.hasSuffix("Z") else { return nil }
    let halves = text.dropLast().split(
      separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
    guard let whole = halves.first else { return nil }
    var compact = Array(whole)
    if compact.count == 19 {
      for (place, mark) in [(16, ":"), (13, ":"), (7, "-"), (4, "-")] as [(Int, Character)] {
        guard compact[place] == mark else { return nil }
        compact.remove(at: place)
      }
    }
    guard compact.count == 15, compact[8] == "T" else { return nil }
    func field(_ range: Range<Int>) -> Int64? { digits(Substring(String(compact[range]))) }
    guard let year = field(0..<4), let month = field(4..<6), let day = field(6..<8),
      let hour = field(9..<11), let minute = field(11..<13), let second = field(13..<15),
      let civil = CivilTime(
        year: year, month: month, day: day, hour: hour, minute: minute, second: second)
    else { return nil }
    // A date outside what nanoseconds in 64 bits can express (1677 to 2262) is no instant.
    guard (-9_223_372_036..<(1 << 33)).contains(civil.epochSeconds) else { return nil }
    var nanoseconds = civil.epochSeconds * 1_000_000_000
    if halves.count == 2 {
      guard let fraction = fraction(halves[1]) else { return nil }
      nanoseconds += fraction
    }
    return Timestamp(rawValue: nanoseconds)
  }

  private static func fraction(_ text: Substring) -> Int64? {
    guard (1...9).contains(text.count), let value = digits(text) else { return nil }
    var scaled = value
    for _ in text.count..<9 { scaled *= 10 }
    return scaled
  }

  private static func digits(_ text: Substring) -> Int64? {
    guard !text.isEmpty, text.utf8.allSatisfy({ (48...57).contains($0) }) else { return nil }
    return Int64(text)
  }
}
