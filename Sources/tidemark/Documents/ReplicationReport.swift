internal import ControlAPI

/// What a replication made, as text.
enum ReplicationReport {
  /// What a person may want to know of a cycle beside the point's id.
  static func remarks(_ cycle: ReplicationDocument.Cycle) -> String {
    var lines = cycle.disks.map { disk in
      var line = "disk \(disk.number): \(Words.size(disk.changedBytes)) changed of "
      line += "\(Words.size(disk.examinedBytes)) compared"
      if let reason = reason(disk.comparedWholeBecause) { line += " (\(reason))" }
      if let seconds = disk.cloneSeconds {
        line += "; writes stood still for \(Words.time(.seconds(seconds)))"
      }
      return line
    }
    lines.append(
      "stored \(Words.size(cycle.storedBytes)) in \(Words.time(.seconds(cycle.seconds)))")
    if cycle.resumed {
      lines.append("this finished a cycle that was interrupted; a new one follows")
    }
    lines += cycle.point.remarks + cycle.advice
    return lines.map { "  " + $0 }.joined(separator: "\n")
  }

  private static func reason(_ whole: String?) -> String? {
    switch whole {
    case "firstCycle": "the first cycle compares everything"
    case "cloneLost": "everything, for the last cycle's clone is gone"
    case "interruptedCloneLost": "everything, for an interrupted cycle's clone is gone"
    case "sizeChanged": "everything, for the size changed"
    default: whole
    }
  }
}
