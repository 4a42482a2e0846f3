internal import FoundationEssentials

/// What was looked at before a drill or a failover, and what was found behind a drill.
public struct RecoveryReport: Codable, Hashable, Sendable {
  /// A thing that was looked at.
  public struct Check: Codable, Hashable, Sendable {
    /// What it means.
    public enum Verdict: String, Codable, Hashable, Sendable, CaseIterable {
      /// It is as it should be.
      case ok
      /// It is not, and that does not forbid anything.
      case warning
      /// It is not, and nothing can be begun.
      case failed
      /// It can't be known.
      case notChecked
    }

    /// What was looked at.
    public var name: String
    /// What it means.
    public var verdict: Verdict
    /// What was found, and what to do about it.
    public var found: String

    /// A check of these properties.
    public init(_ name: String, _ verdict: Verdict, _ found: String) {
      (self.name, self.verdict, self.found) = (name, verdict, found)
    }
  }

  /// Something that was asked for, and what is there.
  public struct Comparison: Codable, Hashable, Sendable {
    /// What is compared.
    public var name: String
    /// What was asked for.
    public var asked: String
    /// What is there; `not observed` where that can't be seen.
    public var found: String
    /// Whether they agree; nil if that can't be seen.
    public var isSame: Bool?

    /// A comparison of these values.
    public init(_ name: String, asked: String, found: String?) {
      (self.name, self.asked) = (name, asked)
      self.found = found ?? Self.notObserved
      isSame = found.map { $0 == asked }
    }

    /// A comparison whose values agree, or don't, in another way than by being the same text.
    init(_ name: String, asked: String, found: String, isSame: Bool?) {
      (self.name, self.asked, self.found, self.isSame) = (name, asked, found, isSame)
    }

    static let notObserved = "not observed"
  }

  /// What was looked at first, in order.
  public var checks: [Check] = []
  /// What was compared at the end, in order.
  public var comparisons: [Comparison] = []
  /// Where the disks are.
  public var directory: String?
  /// What became of asking the source to shut down, in sentences; nil if it was not.
  public var sourceShutdown: String?
  /// Whether its agent said that it is down; nil if that was not asked to shut it down.
  public var isSourceStopped: Bool?
  /// The last that the machine wrote to its serial console, when that was compared or the machine ended.
  public var console: String?

  /// Nothing was looked at yet.
  public init() {}

  /// Reads what was kept.
  public init?(json: String?) {
    guard let json,
      let report = try? JSONDecoder().decode(Self.self, from: Data(json.utf8))
    else { return nil }
    self = report
  }

  /// Itself as it is kept.
  public var json: String? {
    (try? JSONEncoder().encode(self)).map { String(decoding: $0, as: UTF8.self) }
  }

  /// What stands in the way, as sentences; nil if nothing does.
  var failure: String? {
    let failed = checks.filter { $0.verdict == .failed }.map { "\($0.name): \($0.found)" }
    return failed.isEmpty ? nil : failed.joined(separator: " ")
  }
}
