internal import Catalog
internal import ControlAPI
internal import Operations

/// Drills, as text.
enum DrillReport {
  static func table(_ drills: [DrillDocument]) -> String {
    guard !drills.isEmpty else { return "There was no drill yet." }
    return Words.table(
      ["DRILL", "MACHINE", "STATE", "POINT", "BEGAN", "ENDED", "OPERATOR"],
      drills.map { drill in
        [
          String(drill.id), drill.machine, state(of: drill), drill.point?.id ?? "", drill.started,
          drill.ended ?? "", drill.operator ?? "",
        ]
      })
  }

  private static func state(of drill: DrillDocument) -> String {
    guard drill.ended == nil else { return drill.outcome }
    return drill.ready == nil ? "being begun" : "to be cleaned up"
  }

  /// Everything that is known of one.
  static func text(_ drill: DrillDocument) -> String {
    var facts = [
      ("Drill", "\(drill.id)"), ("Machine", drill.machine), ("State", state(of: drill)),
    ]
    if let point = drill.point {
      facts.append(("Recovery point", "\(point.id), of \(point.time)"))
    }
    facts.append(("Began", drill.started + (drill.operator.map { ", by \($0)" } ?? "")))
    if let ready = drill.ready { facts.append(("Ready", ready)) }
    if let expires = drill.expires { facts.append(("Expires", expires)) }
    if let ended = drill.ended {
      facts.append(("Ended", ended + (drill.endedBy.map { ", by \($0)" } ?? "")))
    }
    if let notes = drill.notes { facts.append(("Notes", notes)) }
    if let directory = drill.report?.directory, drill.ended == nil {
      facts.append(("Disks", directory))
    }
    return ([Words.facts(facts)] + (drill.report.map(sections) ?? [])).joined(separator: "\n\n")
  }

  /// What was looked at, what was compared, and the end of the console, as far as there is any of it.
  static func sections(_ report: RecoveryReport) -> [String] {
    let source = report.sourceShutdown.map { "Source: \($0)" }
    let console = report.console.map { "Console:\n\($0)" }
    return [checks(report), source, comparisons(report), console].compactMap { $0 }
  }

  private static func checks(_ report: RecoveryReport) -> String? {
    let checks = report.checks
    guard !checks.isEmpty else { return nil }
    return Words.table(
      ["CHECKED", "RESULT", "FOUND"],
      checks.map { [words(of: $0.name), words(of: $0.verdict), $0.found] })
  }

  /// A name such as `bootLoader`, as people write it.
  private static func words(of name: String) -> String {
    name.map { $0.isUppercase ? " \($0.lowercased())" : String($0) }.joined()
  }

  private static func words(of verdict: RecoveryReport.Check.Verdict) -> String {
    verdict == .notChecked ? "not checked" : verdict.rawValue
  }

  private static func comparisons(_ report: RecoveryReport) -> String? {
    let found = report.comparisons
    guard !found.isEmpty else { return nil }
    return Words.table(
      ["COMPARED", "ASKED FOR", "FOUND", "SAME"],
      found.map { comparison in
        [
          comparison.name, comparison.asked, comparison.found,
          comparison.isSame.map { $0 ? "yes" : "NO" } ?? "-",
        ]
      })
  }
}

/// How a machine stands in its recovery, as text.
enum RecoveryText {
  /// A word or two for a table; nil if its replication tells enough.
  static func state(_ recovery: RecoveryDocument?) -> String? {
    guard let recovery else { return nil }
    let running = recovery.running.map { " (\($0) runs)" } ?? ""
    switch recovery.state {
    case "unprotected": return recovery.keepsDisks ? "disks kept" + running : nil
    case "enabling", "protected", "resynchronising": return nil
    case "testActive": return "test failover" + running
    case "failoverInProgress": return "failing over"
    case "failoverFailed": return "failover failed" + running
    case "failedOver": return "failed over" + running
    case "replicationStopped": return "replication stopped"
    default: return recovery.state + running
    }
  }

  /// What is shown of a machine.
  static func facts(_ recovery: RecoveryDocument) -> [(String, String)] {
    var facts: [(String, String)] = []
    if let state = state(recovery) {
      facts.append(("Recovery", state + (recovery.since.map { ", since \($0)" } ?? "")))
    }
    if let failure = recovery.failure { facts.append(("Failure", failure)) }
    if let point = recovery.point {
      facts.append(("Recovered from", "\(point.id), of \(point.time)"))
    }
    let disks = [recovery.directory, recovery.isFlat ? "plain files" : nil].compactMap { $0 }
    if !disks.isEmpty { facts.append(("Recovered disks", disks.joined(separator: ", "))) }
    // Without a service it is not known.
    if recovery.testState != "Not checked" {
      facts.append(("Last drill", recovery.lastDrill.map(words) ?? "never"))
    }
    let commands = recovery.allowedOperations.map(\.command).reduce(into: [String]()) { all, next in
      // Two operations may be one command.
      if !all.contains(next) { all.append(next) }
    }
    facts += commands.enumerated().map { ($0 == 0 ? "Allowed" : "", $1) }
    return facts
  }

  private static func words(of drill: DrillDocument) -> String {
    "\(drill.ended ?? drill.started): \(drill.ended == nil ? "active" : drill.outcome)"
  }

  /// When a machine was last drilled with success, for a table.
  static func lastDrill(_ recovery: RecoveryDocument?) -> String {
    recovery?.lastSuccessfulDrill.map { String($0.prefix(10)) } ?? "never"
  }
}
