internal import FileIO
internal import Support

/// Measures replication from an agent to a service on this machine, over TLS: the first copy beside
/// other programs' copies of the same image, cycles, delays, and memory.
struct Replications {
  let pristine: InputImage
  let settings: Settings
  let bench: Workbench
  let report: Report

  func run() throws {
    let image = bench.file("source.raw")
    try Program.require("cp", "--reflink=auto", pristine.path, image)
    try FileSystem.warm([image])
    try firstCopies(of: image)
    try cycles(of: image)
    try delays(beside: image)
    try memory()
  }

  /// A new service and a machine of this image in it, which is protected.
  private func site(_ name: String, _ image: String, capture: String) throws -> (Site, Machine) {
    let site = try Site(at: bench.file(name))
    let machine = try site.enrol("bench", disks: [image], capture: capture)
    try machine.protect()
    return (site, machine)
  }

  /// Copies everything for the first time, each program in turn.
  private func firstCopies(of image: String) throws {
    var rounds: [String: [Double]] = [:]
    for round in 1...settings.rounds {
      report.progress("first replication, round \(round) of \(settings.rounds)")
      try measure("first/zstd", &rounds) {
        try Program.require(
          "zstd", "-1", "-T2", "-q", "-f", image, "-o", bench.file("peer.zst"), seconds: 1200)
      }
      try backUp(image, &rounds)
      for capture in ["reflink", "scan"] {
        try bench.settle()
        let (site, machine) = try site("first-\(capture)", image, capture: capture)
        let before = site.processorTime
        let cycle = try machine.cycle()
        rounds["first/tidemark-\(capture)", default: []].append(cycle.seconds)
        rounds["first-processor/tidemark-\(capture)", default: []].append(
          cycle.processorTime + site.processorTime - before)
        rounds["first-agent-memory/tidemark-\(capture)", default: []].append(cycle.memory)
        rounds["first-service-memory/tidemark-\(capture)", default: []].append(site.peakMemory)
        rounds["first-wire/tidemark-\(capture)", default: []].append(cycle.sent / 1048576)
      }
      try FileSystem.system.remove(bench.file("peer.zst"))
    }
    report.add(rounds, units: ["memory": "MiB", "wire": "MiB"])
  }

  private func backUp(_ image: String, _ rounds: inout [String: [Double]]) throws {
    let repository = bench.file("repository")
    let environment = [
      "RESTIC_PASSWORD": "bench", "RESTIC_REPOSITORY": repository,
      "RESTIC_CACHE_DIR": bench.file("cache"),
    ]
    try restic(["init"], environment)
    try bench.settle()
    try measure("first/restic", &rounds) { try restic(["backup", "--quiet", image], environment) }
    try Program.require("rm", "-rf", repository, bench.file("cache"))
  }

  private func restic(_ arguments: [String], _ environment: [String: String]) throws {
    let result = try Program("restic", arguments, environment: environment).wait(seconds: 1200)
    guard result.succeeded else { throw ProgramFailure(command: "restic", result: result) }
  }

  private func measure(
    _ name: String, _ rounds: inout [String: [Double]], _ body: () throws -> Void
  ) throws {
    rounds[name, default: []].append(try ContinuousClock().measure(body).inSeconds)
  }

  /// Cycles after one hundredth of the image was written anew, while something writes to it.
  private func cycles(of image: String) throws {
    var rounds: [String: [Double]] = [:]
    var changes = Changes(to: pristine, settings)
    for capture in ["reflink", "scan"] {
      let (site, machine) = try site("cycle-\(capture)", image, capture: capture)
      _ = try machine.cycle()
      for round in 1...settings.rounds {
        report.progress("cycle by \(capture), round \(round) of \(settings.rounds)")
        var written: UInt64 = 0
        while written < pristine.size / 100 {
          let writes = changes.next()
          try changes.apply(writes, to: image)
          written += writes.reduce(0) { $0 + UInt64($1.count) }
        }
        try FileSystem.warm([image])
        // A scan needs a source at rest.
        let stall = capture == "reflink" ? try WriteStall(on: image) : nil
        let cycle = try machine.cycle()
        if let stall { rounds["cycle-write-stall/\(capture)", default: []].append(stall.end()) }
        rounds["cycle/\(capture)", default: []].append(cycle.seconds)
        rounds["cycle-changed/\(capture)", default: []].append(cycle.changed / 1048576)
        rounds["cycle-wire-ratio/\(capture)", default: []].append(cycle.sent / cycle.changed)
      }
      withExtendedLifetime(site) {}
    }
    report.add(rounds, units: ["stall": "ms", "changed": "MiB", "ratio": "bytes/byte"])
  }

  /// How long a page takes from being sent to being durable, alone and while an image is copied.
  private func delays(beside image: String) throws {
    report.progress("delays")
    let site = try Site(at: bench.file("delays"))
    let small = bench.file("small.raw")
    try File(small, .creating(permissions: 0o600)).truncate(to: 1 << 30)
    let probe = try DelayProbe(
      try site.enrol("probe", disks: [small], capture: "scan"), site, disk: small)
    let rest = try probe.delays { $0 < settings.delays }
    let machine = try site.enrol("bench", disks: [image], capture: "reflink")
    try machine.protect()
    let agent = try machine.start()
    defer { machine.end(agent) }
    let load = try probe.delays { count in
      count < 10 || agent.isRunning && !agent.outputSoFar.errors.contains("Made a recovery point")
    }
    for (name, delays) in [("rest", rest), ("load", load)] {
      let sorted = delays.sorted()
      report.add("delay-median/\(name)", [sorted[sorted.count / 2]], "ms")
      report.add("delay-99th/\(name)", [sorted[sorted.count * 99 / 100]], "ms")
    }
  }

  /// The service's memory after the first copies of more and more disks, four a machine, all at once.
  private func memory() throws {
    for machines in settings.machineCounts {
      report.progress("\(machines * 4) disks on one service")
      let site = try Site(at: bench.file("memory-\(machines)"))
      let all = try (0..<machines).map { number in
        let disks = try (0..<4).map { disk in
          let path = bench.file("memory-\(number)-\(disk).raw")
          if !FileSystem.system.exists(path) {
            try Program.require(
              "dd", "if=\(pristine.path)", "of=\(path)", "bs=1M", "status=none",
              "skip=\((number * 4 + disk) * settings.smallDisk)", "count=\(settings.smallDisk)")
          }
          return path
        }
        return try site.enrol("m\(number)", disks: disks, capture: "reflink")
      }
      for machine in all { try machine.protect() }
      let agents = try all.map { try $0.start() }
      defer { for (machine, agent) in zip(all, agents) { machine.end(agent) } }
      let cycles = try zip(all, agents).map { try $0.finish($1) }
      report.add("service-memory/\(machines * 4)-disks", [site.peakMemory], "MiB")
      report.add(
        "agent-memory/\(machines * 4)-disks", [cycles.map(\.memory).max() ?? 0], "MiB")
    }
  }
}

extension Report {
  /// Adds rounds by the names of their measurements, in order; the unit is that of the first word of
  /// `units` that a name holds, or else seconds.
  func add(_ rounds: [String: [Double]], units: [String: String]) {
    for (name, values) in rounds.sorted(by: { $0.key < $1.key }) {
      add(name, values, units.first { name.contains($0.key) }?.value ?? "s")
    }
  }
}
