internal import FileIO
internal import Support

/// Measures writing a fixed VHD of the newest point.
struct Exports {
  let subjects: Subjects
  let settings: Settings
  let bench: Workbench
  let report: Report

  func run() throws {
    let deep = settings.depths.last ?? 1
    let peer = bench.file("peer.vhd")
    let chain = subjects.chain.files(depth: deep)
    var rounds: [String: [Double]] = [:]
    for round in 1...settings.rounds {
      report.progress("exporting, round \(round) of \(settings.rounds)")
      try FileSystem.warm(chain)
      try measure("export/qemu-img/\(deep)", &rounds) {
        try Program.require(
          "qemu-img", "convert", "-f", "qcow2", "-O", "vpc", "-o", "subformat=fixed,force_size=on",
          chain[deep - 1], peer, seconds: 1200)
      }
      // qemu-img leaves it to the kernel when the bytes reach the disk; tidemark does not.
      try measure("export-sync/qemu-img/\(deep)", &rounds) { try Program.require("sync", peer) }
      for codec in Subjects.codecs {
        let vault = try subjects.vault(codec, deep)
        let ours = bench.file("ours.vhd")
        try FileSystem.warm([vault.path])
        try bench.settle()
        try measure("export/tidemark-\(codec)/\(deep)", &rounds) { try vault.export(to: ours) }
        try Program.require(
          "qemu-img", "compare", "-q", "-f", "vpc", "-F", "vpc", peer, ours, seconds: 600)
        try FileSystem.system.remove(ours)
      }
      try FileSystem.system.remove(peer)
      try bench.settle()
    }
    for name in rounds.keys.sorted() { report.add(name, rounds[name] ?? [], "s") }
  }

  private func measure(
    _ name: String, _ rounds: inout [String: [Double]], _ body: () throws -> Void
  ) throws {
    rounds[name, default: []].append(try ContinuousClock().measure(body).inSeconds)
  }
}
