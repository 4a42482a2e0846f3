/// One thing that running a machine needs, and whether it is there.
public struct ComputeFinding: Codable, Hashable, Sendable {
  /// What a finding means.
  public enum Verdict: String, Codable, Hashable, Sendable, CaseIterable {
    /// It is as it should be.
    case ok
    /// The machine runs, but not as it should, or only perhaps.
    case warning
    /// The machine can't run.
    case failed
    /// It can't be known, or nobody looked.
    case notChecked
  }

  /// What was looked at, for programs: such as `qemu`, `kvm`, `bootLoader`.
  public var subject: String
  /// What it means.
  public var verdict: Verdict
  /// What was found, and where; of `.notChecked`, why.
  public var found: String
  /// What to do about it; nil if nothing is to be done.
  public var advice: String?

  /// A finding of these properties.
  public init(_ subject: String, _ verdict: Verdict, _ found: String, advice: String? = nil) {
    (self.subject, self.verdict, self.found, self.advice) = (subject, verdict, found, advice)
  }
}
