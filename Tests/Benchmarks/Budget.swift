/// A limit that the design sets: on a measurement, or on the ratio of two.
struct Budget {
  let name: String
  let number: String
  /// What the number is divided by; nil for the number itself.
  var peer: String?
  let limit: Double
  /// Whether the limit is an upper one.
  var atMost = false

  struct Judged: Encodable {
    var type = "budget"
    let name: String
    let value: Double
    let limit: Double
    let atMost: Bool
    let met: Bool
  }

  /// Compares with what was measured; nil if it was not.
  func judged(by report: Report) -> Judged? {
    guard var value = report.value(number) else { return nil }
    if let peer {
      guard let other = report.value(peer), other > 0 else { return nil }
      value /= other
    }
    return Judged(
      name: name, value: value, limit: limit, atMost: atMost,
      met: atMost ? value <= limit : value >= limit)
  }

  /// The budgets of the design for reading, opening, export, replication and branches.
  static func all(_ settings: Settings) -> [Budget] {
    let deep = settings.depths.last ?? 1
    let ours = "tidemark-zstd/\(deep)"
    var all: [Budget] = []
    for part in ["random-4k", "random-4k-in-data"] {
      for depth in [1, 8] {
        let measure = "\(part)-depth-\(depth)"
        for (name, peer, limit) in [
          ("QEMU at \(deep)", "qemu/\(deep)", 8), ("QEMU at 1", "qemu/1", 1.7),
          ("itself at 1", "tidemark-zstd/1", 0.9),
        ] {
          all.append(
            Budget(
              name: "\(measure) at \(deep) points ÷ \(name)", number: "\(measure)/\(ours)",
              peer: "\(measure)/\(peer)", limit: limit))
        }
      }
    }
    for measure in ["sequential-1m-direct", "sequential-1m-buffered"] {
      all.append(
        Budget(
          name: "\(measure) at \(deep) points ÷ QEMU at 1", number: "\(measure)/\(ours)",
          peer: "\(measure)/qemu/1", limit: 1))
    }
    all.append(
      Budget(
        name: "export at \(deep) points: time of qemu-img ÷ time of tidemark",
        number: "export/qemu-img/\(deep)", peer: "export/\(ours)", limit: 2))
    return all + replication + branches + settings.pointCounts.flatMap(opening)
  }

  private static var replication: [Budget] {
    [
      Budget(
        name: "first replication: time of restic ÷ time of tidemark", number: "first/restic",
        peer: "first/tidemark-reflink", limit: 1.5),
      Budget(
        name: "first replication: time of tidemark ÷ time of zstd -1 -T2",
        number: "first/tidemark-reflink", peer: "first/zstd", limit: 1.5, atMost: true),
    ]
  }

  private static var branches: [Budget] {
    let onBranch = Measure.onBranch(.full).map { measure in
      Budget(
        name: "\(measure.name) ÷ QEMU's overlay", number: "\(measure.name)/tidemark",
        peer: "\(measure.name)/qemu", limit: 1)
    }
    return onBranch + [
      Budget(
        name: "failover until the first write, s", number: "failover-first-write/tidemark",
        limit: 1,
        atMost: true)
    ]
  }

  private static func opening(_ count: Int) -> [Budget] {
    let rows: [(String, Double)] = [
      ("open-mount", 50), ("open-mount-cold", 50), ("open-point", 50), ("open-point-worst", 50),
      ("open-memory", 256),
    ]
    return rows.map { row, limit in
      Budget(
        name: "\(row) at \(count) points, \(row == "open-memory" ? "MiB" : "ms")",
        number: "\(row)/tidemark-zstd/\(count)", limit: limit, atMost: true)
    }
  }
}
