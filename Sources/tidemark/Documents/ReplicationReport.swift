internal import Bytes
internal import Capture
internal import Vault

/// What a replication made, as text and as JSON.
struct ReplicationReport {
  let machine: String
  var cycles: [CaptureResult]

  struct Disk: Encodable {
    let number: DiskNumber
    let size: UInt64
    let capture: String
    let examinedBytes: UInt64
    let changedBytes: UInt64
    let comparedWholeBecause: String?
    let cloneSeconds: Double?
  }

  struct Cycle: Encodable {
    let point: PointReport.Document
    let resumed: Bool
    let storedBytes: UInt64
    let seconds: Double
    let disks: [Disk]
    let advice: [String]
  }

  struct Document: Encodable {
    let machine: String
    let cycles: [Cycle]
  }

  var document: Document {
    Document(
      machine: machine,
      cycles: cycles.map { cycle in
        Cycle(
          point: PointReport(machine: machine, point: cycle.point).document,
          resumed: cycle.resumed, storedBytes: cycle.stored,
          seconds: Words.seconds(cycle.elapsed), disks: cycle.disks.map(Self.disk),
          advice: cycle.advice)
      })
  }

  private static func disk(_ disk: DiskCapture) -> Disk {
    Disk(
      number: disk.number, size: disk.size, capture: disk.mode.name,
      examinedBytes: disk.examined, changedBytes: disk.changed,
      comparedWholeBecause: disk.whole == .scan ? nil : disk.whole?.rawValue,
      cloneSeconds: disk.cloneTime.map(Words.seconds))
  }

  /// What a person may want to know of a cycle beside the point's id.
  static func remarks(_ cycle: CaptureResult) -> String {
    var lines = cycle.disks.map { disk in
      var line = "disk \(disk.number): \(Words.size(disk.changed)) changed of "
      line += "\(Words.size(disk.examined)) compared"
      if let whole = disk.whole, whole != .scan { line += " (\(reason(whole)))" }
      if let time = disk.cloneTime { line += "; writes stood still for \(Words.time(time))" }
      return line
    }
    lines.append("stored \(Words.size(cycle.stored)) in \(Words.time(cycle.elapsed))")
    if cycle.resumed {
      lines.append("this finished a cycle that was interrupted; a new one follows")
    }
    lines += PointReport.remarks(cycle.point) + cycle.advice
    return lines.map { "  " + $0 }.joined(separator: "\n")
  }

  private static func reason(_ whole: WholeComparison) -> String {
    switch whole {
    case .scan: "scanned"
    case .firstCycle: "the first cycle compares everything"
    case .cloneLost: "everything, for the last cycle's clone is gone"
    case .interruptedCloneLost: "everything, for an interrupted cycle's clone is gone"
    case .sizeChanged: "everything, for the size changed"
    }
  }
}
