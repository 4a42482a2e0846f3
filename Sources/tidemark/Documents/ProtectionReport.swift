internal import ControlAPI
internal import Operations

/// What applies to machines that are to be protected, and what became of it, as text and as JSON.
struct ProtectionReport {
  private struct Entry {
    let name: String
    var plan: ProtectionPlanDocument?
    var job: JobDocument?
    var error: OperationError?
  }

  struct Machine: Encodable {
    let name: String
    let plan: ProtectionPlanDocument?
    let job: JobDocument?
    let error: ErrorDocument.Content?
  }

  struct Document: Encodable {
    let machines: [Machine]
  }

  private var entries: [Entry] = []

  mutating func add(_ plan: ProtectionPlanDocument, of name: String) {
    entries.append(Entry(name: name, plan: plan))
  }

  mutating func add(_ job: JobDocument, of name: String) {
    change(name) {
      $0.job = job
      $0.error = job.error?.outcome
    }
  }

  mutating func add(_ error: OperationError, of name: String) {
    guard entries.contains(where: { $0.name == name && $0.error == nil }) else {
      return entries.append(Entry(name: name, error: error))
    }
    change(name) { $0.error = error }
  }

  private mutating func change(_ name: String, _ body: (inout Entry) -> Void) {
    guard let index = entries.lastIndex(where: { $0.name == name }) else { return }
    body(&entries[index])
  }

  /// The names of those that can be enabled.
  var planned: [String] { entries.filter { $0.error == nil }.map(\.name) }

  /// Why the command fails: the reason, if it is that of all; that some failed, if others did not.
  var failure: OperationError? {
    let failed = entries.filter { $0.error != nil }
    guard let first = failed.first?.error else { return nil }
    guard entries.count > 1 else { return first }
    let names = failed.map(\.name).joined(separator: ", ")
    return OperationError(
      failed.count == entries.count ? first.code : .incomplete, "Not enabled: \(names).")
  }

  var document: Document {
    Document(
      machines: entries.map { entry in
        Machine(
          name: entry.name, plan: entry.plan, job: entry.job,
          error: entry.error.map { ErrorDocument.Content($0) })
      })
  }

  /// What will apply; nil if nothing will.
  var table: String? {
    let plans = entries.compactMap(\.plan)
    guard !plans.isEmpty else { return nil }
    return Words.table(
      [
        "MACHINE", "SYSTEM", "ADDRESS", "DISKS", "SIZE", "CYCLE", "APP-CONSISTENT", "RPO THRESHOLD",
      ],
      plans.map { plan in
        let replicated = plan.disks.filter { !$0.isExcluded }
        let excluded = plan.disks.filter(\.isExcluded).map { String($0.number) }
        let numbers = replicated.map { String($0.number) }.joined(separator: ", ")
        return [
          plan.machine, plan.operatingSystem, plan.address ?? "unknown",
          numbers
            + (excluded.isEmpty ? "" : " (not \(excluded.joined(separator: ", ")))"),
          Words.size(replicated.reduce(0) { $0 + ($1.size ?? 0) }),
          Words.time(seconds: Int64(plan.cycleSeconds)),
          plan.applicationSeconds == 0
            ? "never" : Words.time(seconds: Int64(plan.applicationSeconds)),
          Words.time(seconds: Int64(plan.rpoSeconds)),
        ]
      })
  }

  /// What a person should know of before.
  var remarks: [String] {
    entries.flatMap { entry in
      (entry.plan?.warnings ?? []).map { "\(entry.name): \($0)" }
        + (entries.count > 1 ? entry.error.map { [$0.message] } ?? [] : [])
    }
  }
}
