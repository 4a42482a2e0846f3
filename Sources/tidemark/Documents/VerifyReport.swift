internal import Bytes
internal import Operations
internal import Vault

/// What checking a vault found, as text and as JSON.
struct VerifyReport {
  let findings: [VerifyVault.Finding]

  var isIntact: Bool { findings.allSatisfy(\.isIntact) }

  struct Damage: Encodable {
    let file: String
    let offset: UInt64
    let what: String
    let disk: DiskNumber?
    let firstByte: UInt64?
    let endByte: UInt64?
    let points: [String]
  }

  struct Machine: Encodable {
    let name: String
    let intact: Bool
    let problem: String?
    let bytes: UInt64
    let records: UInt64
    let indexPages: UInt64
    let points: Int
    let newestPointIsHurt: Bool
    let damages: [Damage]
  }

  struct Document: Encodable {
    let intact: Bool
    let machines: [Machine]
  }

  var document: Document {
    Document(intact: isIntact, machines: findings.map(Self.machine))
  }

  private static func machine(_ finding: VerifyVault.Finding) -> Machine {
    let report = finding.report
    return Machine(
      name: finding.machine, intact: finding.isIntact, problem: finding.problem?.message,
      bytes: report?.bytes ?? 0, records: report?.records ?? 0,
      indexPages: report?.indexPages ?? 0, points: report?.points ?? 0,
      newestPointIsHurt: report?.newestDamage != nil,
      damages: (report?.damages ?? []).map { damage in
        Damage(
          file: damage.file, offset: damage.offset, what: damage.what, disk: damage.disk,
          firstByte: damage.range?.lowerBound, endByte: damage.range?.upperBound,
          points: damage.points)
      })
  }

  var text: String {
    guard !findings.isEmpty else { return "The vault has no machines yet." }
    return findings.map { ([Self.head($0)] + Self.details($0)).joined(separator: "\n") }
      .joined(separator: "\n")
  }

  private static func head(_ finding: VerifyVault.Finding) -> String {
    guard let report = finding.report else { return "\(finding.machine): can't be read" }
    let checked =
      "\(Words.size(report.bytes)), \(report.records) records, "
      + Words.count(report.points, "recovery point")
    guard !report.isIntact else { return "\(finding.machine): intact (\(checked))" }
    return "\(finding.machine): \(Words.count(report.damages.count, "damage")) (\(checked))"
  }

  private static func details(_ finding: VerifyVault.Finding) -> [String] {
    if let problem = finding.problem { return ["  " + problem.message] }
    return (finding.report?.damages ?? []).map { damage in
      var line = "  \(damage.file) at \(damage.offset): \(damage.what)."
      if let disk = damage.disk {
        line += " Disk \(disk)"
        if let range = damage.range {
          line += ", bytes \(range.lowerBound)-\(range.upperBound - 1)"
        }
        line += "."
      }
      return line + " " + hurt(damage.points)
    }
  }

  /// The points that are hurt; they follow each other, so the first and last name them all.
  private static func hurt(_ points: [String]) -> String {
    guard let first = points.first, let last = points.last else {
      return "Every recovery point still reads as it should."
    }
    if points.count == 1 { return "Hurts recovery point \(first)." }
    return "Hurts \(points.count) recovery points, \(first) to \(last)."
  }
}
