internal import ControlAPI

/// How everything is, as text.
enum HealthReport {
  static func text(_ status: StatusDocument) -> String {
    let host = [
      status.host.processorPercent.map { "processor \($0) %" },
      status.host.memoryPercent.map { "memory \($0) %" },
      status.host.freePercent.map { "vault \($0) % free" },
    ].compactMap { $0 }
    let lines =
      ["Health: \(status.health)"] + (host.isEmpty ? [] : ["Host: " + host.joined(separator: ", ")])
    return (lines + (status.errors.isEmpty ? ["Nothing is wrong."] : [""]) + errors(status.errors))
      .joined(separator: "\n")
  }

  /// The errors, a paragraph each.
  static func errors(_ errors: [CurrentErrorDocument]) -> [String] {
    errors.map { error in
      let impacts = error.impacts.map { impact in
        "  \(subject(of: impact)): \(impact.message) Since \(impact.since)."
      }
      let isOfMachines = error.impacts.allSatisfy { $0.type == "machine" }
      let count = Words.count(error.count, isOfMachines ? "machine" : "process server")
      return
        (["\(error.severity)  \(error.code)  \(count)"] + impacts
        + (error.advice.isEmpty ? [] : ["  → \(error.advice)"]))
        .joined(separator: "\n")
    }
  }

  /// What an error impacts, as a sentence begins with it.
  static func subject(of impact: CurrentErrorDocument.Impact) -> String {
    guard let name = impact.subject else { return "The service" }
    return impact.type == "machine" ? name : "Process server \(name)"
  }

  static func text(_ health: MachineHealthDocument) -> String {
    let machine = health.machine
    var facts = [
      ("Machine", machine.name), ("Health", machine.health ?? "not protected"),
      ("State", machine.state.map(MachineReport.words) ?? "unknown"),
      ("RPO", machine.rpoSeconds.map { Words.time(seconds: Int64($0)) } ?? "none yet"),
    ]
    if let threshold = machine.rpoThresholdSeconds {
      facts.append(("RPO threshold", Words.time(seconds: Int64(threshold))))
    }
    facts.append(("Time goes to", health.bottleneck ?? "nothing: it waits"))
    let now = health.present
    facts.append(
      (
        "Lately",
        "\(seconds(now.readingSeconds)) reading, \(seconds(now.compressingSeconds)) compressing, "
          + "\(seconds(now.linkSeconds)) link, \(seconds(now.vaultSeconds)) vault"
      ))
    var text = Words.facts(facts)
    if !health.errors.isEmpty { text += "\n\n" + errors(health.errors).joined(separator: "\n") }
    let samples = health.samples.filter { $0.seconds > 0 } + (now.seconds > 0 ? [now] : [])
    guard !samples.isEmpty else { return text }
    return text + "\n\n" + table(samples)
  }

  private static func seconds(_ value: Double) -> String {
    "\(Int(value * 10) / 10).\(Int(value * 10) % 10) s"
  }

  private static func table(_ samples: [MachineHealthDocument.Sample]) -> String {
    Words.table(
      ["UNTIL", "RPO", "CHANGED A SECOND", "SENT A SECOND", "CHANGED BY DISK"],
      samples.map { sample in
        let changed = sample.churn.reduce(0) { $0 + $1.changedBytes }
        let disks = sample.churn.map {
          "\($0.disk): \(Words.size(UInt64(clamping: $0.changedBytes)))"
        }
        return [
          sample.time, sample.rpoSeconds.map { Words.time(seconds: $0) } ?? "none",
          Words.size(UInt64(clamping: changed / max(1, sample.seconds))),
          Words.size(UInt64(clamping: sample.uploadedBytes / max(1, sample.seconds))),
          disks.joined(separator: ", "),
        ]
      })
  }
}
