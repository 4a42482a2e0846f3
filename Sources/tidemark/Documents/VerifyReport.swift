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
    let branches: [String]
  }

  struct Branch: Encodable {
    let id: String
    let name: String?
    let machine: String
    let purpose: String?
    let intact: Bool
    let hurtBelow: Bool
    let problem: String?
    let bytes: UInt64
    let records: UInt64
    let indexPages: UInt64
    let damages: [Damage]
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
    let branches: [Branch]
  }

  var document: Document {
    Document(
      intact: isIntact, machines: findings.filter { $0.branch == nil }.map(Self.machine),
      branches: findings.compactMap(branch))
  }

  private func branch(_ finding: VerifyVault.Finding) -> Branch? {
    guard let id = finding.branch else { return nil }
    let report = finding.report
    return Branch(
      id: id.description, name: finding.description?.name, machine: finding.machine,
      purpose: finding.description?.purpose.name, intact: finding.isIntact,
      hurtBelow: isHurtBelow(id), problem: finding.problem?.message, bytes: report?.bytes ?? 0,
      records: report?.records ?? 0, indexPages: report?.indexPages ?? 0,
      damages: Self.damages(report))
  }

  /// Whether a damage of what a branch stands on hurts it.
  private func isHurtBelow(_ branch: Identifier) -> Bool {
    findings.contains { finding in
      finding.branch != branch
        && finding.report?.damages.contains { $0.branches.contains(branch) } == true
    }
  }

  private static func machine(_ finding: VerifyVault.Finding) -> Machine {
    let report = finding.report
    return Machine(
      name: finding.machine, intact: finding.isIntact, problem: finding.problem?.message,
      bytes: report?.bytes ?? 0, records: report?.records ?? 0,
      indexPages: report?.indexPages ?? 0, points: report?.points ?? 0,
      newestPointIsHurt: report?.newestDamage != nil, damages: damages(report))
  }

  private static func damages(_ report: CheckReport?) -> [Damage] {
    (report?.damages ?? []).map { damage in
      Damage(
        file: damage.file, offset: damage.offset, what: damage.what, disk: damage.disk,
        firstByte: damage.range?.lowerBound, endByte: damage.range?.upperBound,
        points: damage.points, branches: damage.branches.map(\.description))
    }
  }

  var text: String {
    guard !findings.isEmpty else { return "The vault has no machines yet." }
    return findings.map { ([head($0)] + details($0)).joined(separator: "\n") }
      .joined(separator: "\n")
  }

  private func head(_ finding: VerifyVault.Finding) -> String {
    let title = finding.branch.map { "\(finding.machine), \(disks(of: $0))" } ?? finding.machine
    guard let report = finding.report else { return "\(title): can't be read" }
    let points = finding.branch == nil ? ", " + Words.count(report.points, "recovery point") : ""
    let checked = "\(Words.size(report.bytes)), \(report.records) records\(points)"
    if report.isIntact, let branch = finding.branch, isHurtBelow(branch) {
      return "\(title): own files intact, hurt by damage of what they stand on (\(checked))"
    }
    guard !report.isIntact else { return "\(title): intact (\(checked))" }
    return "\(title): \(Words.count(report.damages.count, "damage")) (\(checked))"
  }

  /// What a person calls a branch.
  private func disks(of branch: Identifier) -> String {
    let known = findings.first { $0.branch == branch }?.description
    switch known?.purpose {
    case .failover: return "failed-over disks"
    case .drill: return "disks of test failover '\(known?.name ?? "")'"
    case nil: return "branch \(branch)"
    }
  }

  private func details(_ finding: VerifyVault.Finding) -> [String] {
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
      return line + " " + hurt(damage.points, damage.branches)
    }
  }

  /// What is hurt. The points follow each other, so the first and last name them all.
  private func hurt(_ points: [String], _ branches: [Identifier]) -> String {
    var hurt = branches.map { "the \(disks(of: $0))" }
    if let first = points.first, let last = points.last {
      hurt.insert(
        points.count == 1
          ? "recovery point \(first)"
          : "\(points.count) recovery points, \(first) to \(last)", at: 0)
    }
    guard !hurt.isEmpty else { return "Everything still reads as it should." }
    return "Hurts \(hurt.joined(separator: ", and "))."
  }
}
