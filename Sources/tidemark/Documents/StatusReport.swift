internal import Operations
internal import Vault

/// How well a vault's machines are protected, as text and as JSON.
struct StatusReport {
  let status: VaultStatus

  struct Machine: Encodable {
    let name: String
    let health: String
    let reasons: [String]
    let rpoSeconds: Double?
    let newestPoint: String?
    let points: Int
    let storedBytes: UInt64
  }

  struct Document: Encodable {
    let vault: VaultReport.Document
    let health: String
    let machines: [Machine]
  }

  var document: Document {
    Document(
      vault: VaultReport(vault: status.vault).document, health: status.health.rawValue,
      machines: status.machines.map { status in
        Machine(
          name: status.machine.name, health: status.health.rawValue, reasons: status.reasons,
          rpoSeconds: status.rpo.map { Double($0) / 1_000_000_000 },
          newestPoint: status.machine.points.last?.id, points: status.machine.points.count,
          storedBytes: status.machine.stored)
      })
  }

  var text: String {
    guard !status.machines.isEmpty else {
      return "The vault '\(status.vault.description.name)' has no machines yet."
    }
    let rows = status.machines.map { status in
      [
        status.machine.name, status.health.rawValue,
        status.rpo.map { Words.time(seconds: $0 / 1_000_000_000) } ?? "none",
        status.machine.points.last?.id ?? "none", String(status.machine.points.count),
        Words.size(status.machine.stored),
      ]
    }
    let headings = ["MACHINE", "HEALTH", "RPO", "NEWEST POINT", "POINTS", "STORED"]
    let reasons = status.machines.flatMap { status in
      status.reasons.map { "\(status.machine.name): \($0)" }
    }
    return ([Words.table(headings, rows)] + (reasons.isEmpty ? [] : [""] + reasons))
      .joined(separator: "\n")
  }
}
