internal import Bytes
internal import ControlAPI
internal import Vault

/// A recovery point, as text and as JSON.
struct PointReport {
  let machine: String
  let point: RecoveryPoint
  /// What was asked for, where that was an instant.
  var asked: PointDocument.Asked?

  var document: PointDocument { PointDocument(point, of: machine, asked: asked) }

  var text: String {
    var facts = [("Recovery point", point.id), ("Machine", machine), ("Time", point.time.iso8601)]
    facts.append(
      ("Kind", point.kind == .crash ? "crash-consistent" : "app-consistent"))
    if let label = point.label { facts.append(("Label", label)) }
    for disk in point.disks {
      facts.append(("Disk \(disk.number)", "\(Words.size(disk.size)) (\(disk.size) bytes)"))
    }
    for remark in document.remarks { facts.append(("Note", remark)) }
    if let asked {
      let distance = Words.time(seconds: Int64(asked.distanceSeconds))
      facts.append(
        ("Asked for", "\(asked.instant), \(distance) after it" + (asked.clamped ? ", clamped" : ""))
      )
    }
    return Words.facts(facts)
  }
}

/// The recovery points of a machine, as text and as JSON.
struct PointListReport {
  let machine: String
  let points: [RecoveryPoint]
  let now: Timestamp

  var document: PointListDocument { PointListDocument(machine: machine, points: points) }

  var text: String {
    guard !points.isEmpty else {
      return "Machine '\(machine)' has no recovery point yet: run 'tidemark replicate \(machine)'."
    }
    let rows = points.map { point in
      [
        point.id, Words.time(seconds: (now.rawValue - point.time.rawValue) / 1_000_000_000),
        point.disks.map { Words.size($0.size) }.joined(separator: " + "), point.label ?? "",
        PointDocument(point, of: machine).remarks.joined(separator: ", "),
      ]
    }
    return Words.table(["POINT", "AGE", "DISKS", "LABEL", "NOTES"], rows)
  }
}
