internal import FileIO
internal import Support

/// Measures reading of a disk through a mount, in rounds that go from one contender to the next, so
/// that what else the machine does hurts all alike.
struct Reads {
  let subjects: Subjects
  let settings: Settings
  let bench: Workbench
  let report: Report

  /// One way of having the disk.
  private struct Contender {
    let name: String
    /// The files its bytes are in.
    let backing: [String]
    let serve: () throws -> ServedDisk
  }

  private func contenders() throws -> [Contender] {
    let (subjects, bench) = (subjects, bench)
    var all = [
      Contender(name: "passed-through/\(settings.depths.last ?? 1)", backing: [subjects.image]) {
        try ServedDisk.passingThrough(subjects.image, on: bench)
      }
    ]
    for depth in settings.depths {
      all.append(
        Contender(name: "qemu/\(depth)", backing: subjects.chain.files(depth: depth)) {
          try subjects.chain.serve(depth: depth)
        })
    }
    for codec in Subjects.codecs {
      for depth in settings.depths {
        let vault = try subjects.vault(codec, depth)
        all.append(
          Contender(name: "tidemark-\(codec)/\(depth)", backing: [vault.path]) {
            try vault.serve(on: bench)
          })
      }
    }
    return all
  }

  /// Checks that everyone serves the same bytes, then measures.
  func run() throws {
    let contenders = try contenders()
    try compare(contenders)
    let measures = Measure.all(settings, places: subjects.places)
    var rounds: [String: [Double]] = [:]
    for round in 1...settings.rounds {
      for contender in contenders {
        report.progress("reading \(contender.name), round \(round) of \(settings.rounds)")
        try FileSystem.warm(contender.backing)
        try bench.settle()
        let disk = try contender.serve()
        rounds["open/" + contender.name, default: []].append(disk.secondsToFirstByte * 1000)
        let values = try Measure.run(measures, on: disk.path)
        report.progress("  " + values.map { String(Int($0)) }.joined(separator: " "))
        for (measure, value) in zip(measures, values) {
          rounds[measure.name + "/" + contender.name, default: []].append(value)
        }
        rounds["memory/" + contender.name, default: []].append(disk.peakMemory)
      }
    }
    let rows =
      measures.map { ($0.name, $0.unit) } + [("open", "ms"), ("memory", "MiB")]
    for (name, unit) in rows {
      for contender in contenders {
        guard let all = rounds[name + "/" + contender.name] else { continue }
        report.add(name + "/" + contender.name, all, unit)
      }
    }
  }

  private func compare(_ contenders: [Contender]) throws {
    report.progress("comparing the bytes that everyone serves")
    var digests: [String: String] = [:]
    for contender in contenders {
      let disk = try contender.serve()
      let digest = try Program.require("sha256sum", disk.path, seconds: 600).prefix(64)
      let key = String(contender.name.split(separator: "/")[1])
      guard let known = digests[key] else {
        digests[key] = String(digest)
        report.fact("SHA-256 of the disk at \(key) points", String(digest))
        continue
      }
      guard known == digest else { throw Differs(name: contender.name) }
    }
  }

  struct Differs: Error, CustomStringConvertible {
    let name: String
    var description: String { "\(name) does not serve the bytes that others do" }
  }
}
