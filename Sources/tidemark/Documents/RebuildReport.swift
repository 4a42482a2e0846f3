internal import Vault

/// What a rebuild of a vault made anew, as text and as JSON.
struct RebuildReport {
  let outcomes: [Rebuild.Outcome]

  struct Machine: Encodable {
    let name: String
    let segments: Int
    let points: Int
    let warnings: [String]
  }

  struct Document: Encodable {
    let rebuilt: [Machine]
  }

  var document: Document {
    Document(
      rebuilt: outcomes.map { outcome in
        Machine(
          name: outcome.machine, segments: outcome.segments, points: outcome.points,
          warnings: outcome.warnings)
      })
  }

  var text: String {
    guard !outcomes.isEmpty else { return "Every machine can be read; nothing was made anew." }
    return outcomes.map { outcome in
      let head =
        "\(outcome.machine): \(Words.count(outcome.points, "recovery point")) from "
        + Words.count(outcome.segments, "segment")
      return ([head] + outcome.warnings.map { "  " + $0 }).joined(separator: "\n")
    }.joined(separator: "\n")
  }
}
