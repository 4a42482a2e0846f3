internal import Logging
internal import Operations

/// Whether a host can serve a vault, as text and as JSON.
struct HostReport {
  let findings: [HostFinding]

  struct Finding: Encodable {
    let subject: String
    let verdict: String
    let found: String
    let advice: String?
  }

  struct Document: Encodable {
    let verdict: String
    let checks: [Finding]
  }

  var isRefused: Bool { findings.contains { $0.verdict == .refused } }

  private var verdict: HostFinding.Verdict {
    if isRefused { return .refused }
    return findings.contains { $0.verdict == .warning } ? .warning : .ok
  }

  var document: Document {
    Document(
      verdict: verdict.rawValue,
      checks: findings.map { finding in
        Finding(
          subject: finding.subject, verdict: finding.verdict.rawValue, found: finding.found,
          advice: finding.advice)
      })
  }

  var text: String {
    Words.table(
      ["CHECK", "VERDICT", "FOUND", "WHAT TO DO"],
      findings.map { [$0.subject, $0.verdict.rawValue, $0.found, $0.advice ?? ""] })
  }

  /// The first thing that keeps the service from starting; nil if nothing does.
  var refusal: OperationError? {
    findings.first { $0.verdict == .refused }.map { finding in
      OperationError(
        .refused, "\(finding.subject): \(finding.found). \(finding.advice ?? "")")
    }
  }

  /// Logs what is not as it should be.
  func log(to logger: Logger) {
    for finding in findings where finding.verdict != .ok {
      logger.warning(
        "Host check",
        metadata: [
          "subject": "\(finding.subject)", "found": "\(finding.found)",
          "advice": "\(finding.advice ?? "")",
        ])
    }
  }
}
