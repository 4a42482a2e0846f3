internal import Catalog
internal import ControlAPI

/// Jobs and events, as text.
enum JobReport {
  static func table(_ jobs: [JobDocument]) -> String {
    guard !jobs.isEmpty else { return "There are no jobs yet." }
    return Words.table(["JOB", "KIND", "MACHINE", "STATE", "BEGAN", "DETAIL"], jobs.map(row))
  }

  /// How far a part of a job is, why it failed, and what else there is to say of it.
  static func words(of task: JobDocument.Task) -> String {
    ([task.state.rawValue] + [task.error, task.note].compactMap { $0 }).joined(separator: ": ")
  }

  static func line(_ job: JobDocument) -> String {
    row(job).filter { !$0.isEmpty }.joined(separator: "  ")
  }

  private static func row(_ job: JobDocument) -> [String] {
    [
      String(job.id), job.kind, job.machine ?? "", job.state.rawValue, job.started ?? "",
      detail(job),
    ]
  }

  /// Everything that is known of one, its tasks below each other.
  static func text(_ job: JobDocument) -> String {
    var facts = [("Job", "\(job.id)"), ("Kind", job.kind)]
    if let machine = job.machine { facts.append(("Machine", machine)) }
    facts += [("State", job.state.rawValue), ("Asked for", job.created)]
    if let name = job.operator { facts.append(("Operator", name)) }
    if let started = job.started { facts.append(("Began", started)) }
    if let ended = job.ended { facts.append(("Ended", ended)) }
    let detail = outcome(job)
    if !detail.isEmpty { facts.append((job.error == nil ? "Detail" : "Error", detail)) }
    let text = Words.facts(facts)
    guard !job.tasks.isEmpty else { return text }
    let tasks = job.tasks.map { [$0.name, $0.state.rawValue, $0.started ?? "", $0.ended ?? ""] }
    let table = Words.table(["TASK", "STATE", "BEGAN", "ENDED"], tasks)
    let notes = job.tasks.compactMap { task in task.note.map { "\(task.name): \($0)" } }
    return ([text, table] + notes + (job.recovery.map(DrillReport.sections) ?? [])).joined(
      separator: "\n\n")
  }

  /// The task in progress, or that the job stopped at, and what there is to say of it.
  private static func detail(_ job: JobDocument) -> String {
    let stops: [JobState] = [.inProgress, .failed, .cancelled]
    // Of several that are at work, as where each is a machine, the first one stands for all; between two
    // the next one is waited for.
    let next = job.state.isFinal ? nil : job.tasks.first { !$0.state.isFinal }
    let task = (job.tasks.first { stops.contains($0.state) } ?? next)?.name
    return [task ?? "", outcome(job)].filter { !$0.isEmpty }.joined(separator: ": ")
  }

  /// How a machine went down, in words.
  private static let stopWords = [
    "wasOff": "was off", "clean": "powered itself down", "forced": "its power was taken",
    "died": "had ended without powering itself down",
  ]

  private static func outcome(_ job: JobDocument) -> String {
    if let error = job.error { return error.message }
    if let stop = job.stop { return stopWords[stop] ?? stop }
    if let point = job.replication?.cycles.last?.point.id { return point }
    guard let progress = job.progress, progress.totalBytes > 0 else { return "" }
    let percent = Int(Double(progress.doneBytes) / Double(progress.totalBytes) * 100)
    return "\(progress.step): \(percent) %"
  }

  static func table(_ events: [EventDocument]) -> String {
    guard !events.isEmpty else { return "There are no events yet." }
    return events.map(line).joined(separator: "\n")
  }

  static func line(_ event: EventDocument) -> String {
    let machine = event.machine.map { "\($0)  " } ?? ""
    return "\(event.time)  \(event.severity.rawValue)  \(machine)\(event.message)"
  }
}

/// Tokens and keys, as text.
enum TokenReport {
  static func table(_ keys: [KeyDocument]) -> String {
    guard !keys.isEmpty else { return "There are no registration keys yet." }
    return Words.table(
      ["KEY", "LABEL", "EXPIRES", "USES LEFT"],
      keys.map { [$0.id, $0.label, $0.expires, String($0.usesLeft)] })
  }

  static func table(_ tokens: [TokenDocument]) -> String {
    guard !tokens.isEmpty else { return "There are no tokens yet." }
    return Words.table(
      ["TOKEN", "ROLE", "MADE", "EXPIRES"],
      tokens.map { [$0.name, $0.role.rawValue, $0.created, $0.expires ?? "never"] })
  }
}
