internal import Bytes

/// What an agent found when it looked whether it can do its work on its machine.
public struct Finding: Hashable, Sendable {
  /// What a finding means for the agent.
  public enum Verdict: UInt8, Sendable, CaseIterable {
    /// It is as it should be.
    case ok = 0
    /// The agent works, but not as well as it should.
    case warning = 1
    /// The agent can't work.
    case refused = 2
  }

  /// What was looked at: `system`, `space`, `hosts`, or `disk` and its number.
  public var subject: String
  /// What it means.
  public var verdict: Verdict
  /// What was found.
  public var found: String
  /// What to do about it; empty if nothing is to be done.
  public var advice: String

  /// A finding of these properties.
  public init(_ subject: String, _ verdict: Verdict, _ found: String, advice: String = "") {
    (self.subject, self.verdict, self.found, self.advice) = (subject, verdict, found, advice)
  }

  init(from reader: inout ByteReader) throws(ByteReader.ShortInput) {
    guard let verdict = Verdict(rawValue: try reader.integer()) else {
      throw ByteReader.ShortInput()
    }
    self.verdict = verdict
    (subject, found, advice) = (
      try reader.shortText(), try reader.shortText(), try reader.shortText()
    )
  }

  func encode(into writer: inout ByteWriter) {
    writer.integer(verdict.rawValue)
    for text in [subject, found, advice] { writer.text(String(text.prefix(1000))) }
  }
}
