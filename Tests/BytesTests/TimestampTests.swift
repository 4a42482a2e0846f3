import Bytes
import Support
import Testing

/// Moments printed and read back, over the whole range of the type.
struct TimestampTests {
  @Test("a moment prints in both forms")
  func forms() {
    let moment = Timestamp(rawValue: 1_795_170_725_120_000_000)
    #expect(moment.compact == "20261120T103205Z")
    #expect(moment.iso8601 == "2026-11-20T10:32:05.12Z")
    #expect(Timestamp(seconds: 0).iso8601 == "1970-01-01T00:00:00Z")
    #expect(Timestamp(rawValue: -1).iso8601 == "1969-12-31T23:59:59.999999999Z")
    #expect(Timestamp(rawValue: -1).seconds == -1)
  }

  @Test("every day from 1678 to 2242 prints as the next one after the day before")
  func everyDay() {
    let lengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    var (year, month, day) = (1678, 1, 1)
    var seconds: Int64 = -9_214_560_000
    func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
    while year < 2242 {
      let moment = Timestamp(seconds: seconds + 86399)
      let expected = "\(year)\(two(month))\(two(day))T235959Z"
      #expect(moment.compact == expected)
      #expect(Instant(expected) == .absolute(moment))
      let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
      day += 1
      if day > lengths[month - 1] + (month == 2 && isLeap ? 1 : 0) { (day, month) = (1, month + 1) }
      if month > 12 { (month, year) = (1, year + 1) }
      seconds += 86400
    }
  }

  @Test("any moment an instant can name is read back from its ISO form to the nanosecond")
  func roundTrips() {
    var random = SeededGenerator(for: "moments")
    for _ in 0..<2000 {
      let nanoseconds = Int64.random(
        in: -9_214_560_000_000_000_000..<8_589_934_592_000_000_000, using: &random)
      let moment = Timestamp(rawValue: nanoseconds)
      #expect(Instant(moment.iso8601) == .absolute(moment))
      #expect(Instant(moment.compact) == .absolute(Timestamp(seconds: moment.seconds)))
    }
  }

  @Test("the ends of the range print and never trap")
  func ends() {
    #expect(Timestamp(seconds: .max).rawValue == .max)
    #expect(Timestamp(seconds: .min).rawValue == .min)
    #expect(Timestamp(rawValue: .max).iso8601 == "2262-04-11T23:47:16.854775807Z")
    #expect(Timestamp(rawValue: .min).iso8601 == "1677-09-21T00:12:43.145224192Z")
    #expect(Timestamp(rawValue: 1) < Timestamp(rawValue: 2))
  }
}
