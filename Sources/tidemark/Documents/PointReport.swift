internal import Bytes
internal import Vault

/// A recovery point, as text and as JSON.
struct PointReport {
  let machine: String
  let point: RecoveryPoint
  /// What was asked for, where that was an instant.
  var asked: Asked?

  /// The instant a person asked for, and how far the point is from it.
  struct Asked: Encodable {
    let instant: String
    let spelling: String
    let distanceSeconds: Double
    let clamped: Bool

    init?(_ resolved: ResolvedPoint, spelling: String) {
      guard let asked = resolved.asked, let distance = resolved.distance else { return nil }
      instant = asked.iso8601
      self.spelling = spelling
      distanceSeconds = Double(distance) / 1_000_000_000
      clamped = resolved.clamped
    }
  }

  struct Disk: Encodable {
    let number: DiskNumber
    let size: UInt64
  }

  struct Document: Encodable {
    let id: String
    let machine: String
    let time: String
    let kind: String
    let consistency: String
    let sourceWatched: Bool
    let locked: Bool
    let label: String?
    let disks: [Disk]
    let asked: Asked?
  }

  var document: Document {
    Document(
      id: point.id, machine: machine, time: point.time.iso8601, kind: point.kind.name,
      consistency: point.consistency == .machine ? "machine" : "per-disk",
      sourceWatched: point.sourceWatched, locked: point.locked, label: point.label,
      disks: point.disks.map { Disk(number: $0.number, size: $0.size) }, asked: asked)
  }

  var text: String {
    var facts = [("Recovery point", point.id), ("Machine", machine), ("Time", point.time.iso8601)]
    facts.append(
      ("Kind", point.kind == .crash ? "crash-consistent" : "app-consistent"))
    if let label = point.label { facts.append(("Label", label)) }
    for disk in point.disks {
      facts.append(("Disk \(disk.number)", "\(Words.size(disk.size)) (\(disk.size) bytes)"))
    }
    for remark in Self.remarks(point) { facts.append(("Note", remark)) }
    if let asked {
      let distance = Words.time(seconds: Int64(asked.distanceSeconds))
      facts.append(
        ("Asked for", "\(asked.instant), \(distance) after it" + (asked.clamped ? ", clamped" : ""))
      )
    }
    return Words.facts(facts)
  }

  /// What sets a point apart, in a few words each.
  static func remarks(_ point: RecoveryPoint) -> [String] {
    var remarks: [String] = []
    if point.consistency == .perDisk { remarks.append("disks of different moments") }
    if !point.sourceWatched { remarks.append("source not watched while it was read") }
    if point.locked { remarks.append("locked") }
    return remarks
  }
}

/// The recovery points of a machine, as text and as JSON.
struct PointListReport {
  let machine: String
  let points: [RecoveryPoint]
  let now: Timestamp

  struct Document: Encodable {
    let machine: String
    let points: [PointReport.Document]
  }

  var document: Document {
    Document(
      machine: machine,
      points: points.map { PointReport(machine: machine, point: $0).document })
  }

  var text: String {
    guard !points.isEmpty else {
      return "Machine '\(machine)' has no recovery point yet: run 'tidemark replicate \(machine)'."
    }
    let rows = points.map { point in
      [
        point.id, Words.time(seconds: (now.rawValue - point.time.rawValue) / 1_000_000_000),
        point.disks.map { Words.size($0.size) }.joined(separator: " + "), point.label ?? "",
        PointReport.remarks(point).joined(separator: ", "),
      ]
    }
    return Words.table(["POINT", "AGE", "DISKS", "LABEL", "NOTES"], rows)
  }
}
