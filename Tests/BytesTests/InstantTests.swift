import Bytes
import Support
import Testing

/// Every spelling of an instant, and every near miss, by tables.
struct InstantTests {
  static let noon: Int64 = 1_795_170_725_000_000_000  // 2026-11-20T10:32:05Z

  @Test(
    "every spelling of an instant is understood",
    arguments: [
      ("20261120T103205Z", noon), ("2026-11-20T10:32:05Z", noon), ("@1795170725", noon),
      ("20261120T103205.5Z", noon + 500_000_000),
      ("2026-11-20T10:32:05.000000001Z", noon + 1), ("@1795170725.25", noon + 250_000_000),
      ("@0", 0), ("19700101T000000Z", 0), ("19691231T235959Z", -1_000_000_000),
      ("20000229T000000Z", 951_782_400_000_000_000),
      ("16780101T000000Z", -9_214_560_000_000_000_000),
    ])
  func absolute(text: String, nanoseconds: Int64) {
    #expect(Instant(text) == .absolute(Timestamp(rawValue: nanoseconds)))
  }

  @Test(
    "every unit of an age is understood",
    arguments: [
      ("0s-ago", 0), ("90s-ago", 90), ("5m-ago", 300), ("2h-ago", 7200), ("3d-ago", 259_200),
      ("1w-ago", 604_800), ("007m-ago", 420),
    ])
  func relative(text: String, seconds: Int64) {
    #expect(Instant(text) == .ago(seconds: seconds))
  }

  @Test(
    "what is no instant is refused, however close it comes",
    arguments: [
      "", "Z", "T", "@", "@-1", "@1.", "@.5", "@1.0000000001", "@1e9", "@99999999999", "@１",
      "-ago", "5-ago", "m-ago", "5 m-ago", "-5m-ago", "5y-ago", "5M-ago", "5m-ag", "5m-ago ",
      "99999999999999999999s-ago", "9999999999w-ago", "5m", "now", "latest",
      "20261120T103205", "20261120103205Z", "20261120T1032Z", "20261120T103205z",
      "20261120T103205.Z", "20261120T103205.0000000000Z", "20261120T103205,5Z",
      "20261320T103205Z", "20260001T103205Z", "20261100T103205Z", "20261131T103205Z",
      "20260229T000000Z", "19000229T000000Z", "20261120T240000Z", "20261120T106005Z",
      "20261120T103260Z", "2026-11-20 10:32:05Z", "2026-11-20T10:32:05+01:00",
      "2026-11-2010:32:05TZ", "2026:11:20T10-32-05Z", "2026-11-20T103205Z", "２0261120T103205Z",
      "+0261120T103205Z", " 20261120T103205Z", "20261120T103205Z\n", "0x261120T103205Z",
      "00000101T000000Z", "00010101T000000Z", "00010921T000000Z", "16770921T001243Z",
      "22620412T000000Z", "99991231T235959Z", "99990411T234716Z",
    ])
  func refused(text: String) {
    #expect(Instant(text) == nil)
  }

  @Test("no text makes the parser fail in any other way")
  func anyText() {
    var random = SeededGenerator(for: "texts as instants")
    let alphabet = Array("0123456789@.-:TZsmhdwago ²é\u{301}")
    for _ in 0..<Count.of("TIDEMARK_FUZZ", normally: 20_000) {
      var text = Array("20261120T103205Z").map { $0 }
      if random.once(in: 2) { text = Array("2026-11-20T10:32:05.123456789Z") }
      for _ in 0..<random.number(0..<4) where !text.isEmpty {
        text[random.number(0..<text.count)] = alphabet[random.number(0..<alphabet.count)]
      }
      for place in 0..<4 where random.once(in: 3) { text[place] = "0" }
      if case .absolute(let moment) = Instant(String(text)) {
        #expect(Instant(moment.iso8601) == .absolute(moment))
      }
    }
  }
}
