internal import Bytes
internal import Codecs
internal import FileIO
internal import Support
internal import Vault

/// Measures opening points of a disk of 1 TiB that has few or many of them.
///
/// The points are made without the command line, which would need a process each, but as it makes
/// them: a few pages, a mark, merging of runs.
struct Openings {
  let pristine: InputImage
  let settings: Settings
  let bench: Workbench
  let report: Report

  /// Minutes between two points, so that no two fall into a second.
  private static let step: Int64 = 300 * 1_000_000_000

  func run() throws {
    let path = bench.file("long")
    let vault = try Vault.create(at: path, name: "long", codec: .zstd)
    let disk = DiskConfiguration(
      number: 0, path: bench.file("long.raw"), capture: .scan, format: .raw)
    let lock = try vault.lock()
    let machine = try vault.addMachine(
      MachineConfiguration(
        name: TidemarkVault.machine, operatingSystem: .linux, disks: [disk]), lock: lock)
    let count = settings.pointCounts.last ?? 0
    let start = Timestamp.now().rawValue - Int64(count) * Self.step
    var changes = LongDiskChanges(pristine, settings)
    for count in settings.pointCounts {
      report.progress("making \(count) points of a disk of 1 TiB")
      let writer = try MachineWriter(machine: machine, in: vault, lock: lock)
      while writer.points.count < count {
        let time = Timestamp(rawValue: start + Int64(writer.points.count) * Self.step)
        try changes.addPoint(to: writer, at: time)
      }
      try writer.close()
      let copy = try TidemarkVault(at: path, size: Settings.longDiskSize)
        .copy(to: bench.file("long-\(count)"))
      try measure(copy, count, firstWritten: changes.first)
    }
  }

  /// Opens points of a vault in fresh mounts, with and without its bytes in the page cache, and then
  /// many points in one mount.
  private func measure(_ vault: TidemarkVault, _ count: Int, firstWritten: UInt64) throws {
    let points = try Vault(opening: vault.path).machine(named: TidemarkVault.machine).snapshot()
      .points.map(\.id)
    report.progress("opening points of \(count)")
    var (warm, cold) = ([Double](), [Double]())
    for round in 0..<settings.rounds {
      let point = points[(points.count - 1) * round / max(1, settings.rounds - 1)]
      try FileSystem.chill([vault.path])
      cold.append(
        try vault.serve(on: bench, point: point, offset: firstWritten).secondsToFirstByte * 1000)
      warm.append(
        try vault.serve(on: bench, point: point, offset: firstWritten).secondsToFirstByte * 1000)
    }
    let whose = "tidemark-zstd/\(count)"
    report.add("open-mount/\(whose)", warm, "ms")
    report.add("open-mount-cold/\(whose)", cold, "ms")
    let disk = try vault.serve(on: bench, offset: firstWritten)
    var each: [Double] = []
    for number in 0..<settings.openings {
      let point = points[(points.count - 1) * number / (settings.openings - 1)]
      let path = "\(bench.file("mount"))/\(TidemarkVault.machine)/points/\(point)/disk0.raw"
      each.append(
        try ContinuousClock().measure {
          _ = try File(path, .reading).read(at: firstWritten, count: 4096)
        }.inSeconds * 1000)
    }
    report.add("open-point/\(whose)", [each.sorted()[each.count / 2]], "ms")
    report.add("open-point-worst/\(whose)", [each.max() ?? 0], "ms")
    report.add("open-memory/\(whose)", [disk.peakMemory], "MiB")
  }
}

/// Random pages of real data, written all over the long disk.
struct LongDiskChanges {
  private let pristine: InputImage
  private var places: Changes
  private var generator: SeededGenerator
  /// Where the first page was written: every point has it, in the oldest of all runs.
  private(set) var first: UInt64 = 0
  private var count = 0

  init(_ pristine: InputImage, _ settings: Settings) {
    self.pristine = pristine
    places = Changes(to: pristine, settings)
    generator = SeededGenerator(seed: settings.seed &+ 2)
  }

  mutating func addPoint(to writer: MachineWriter, at time: Timestamp) throws {
    let source = try File(pristine.path, .reading)
    writer.recordTime = time
    for _ in 0..<Settings.longDiskPages {
      let block = generator.number(0..<Int(Settings.longDiskSize >> 16))
      let page = generator.number(0..<16)
      if count == 0 { first = UInt64(block) << 16 + UInt64(page) << 12 }
      count += 1
      var bytes = [UInt8](repeating: 0, count: 1 << 16)
      let content = try source.read(at: places.dataPage(), count: 4096)
      bytes.replaceSubrange(page << 12..<(page + 1) << 12, with: content)
      try bytes.withUnsafeBytes {
        try writer.write(disk: 0, block: UInt64(block), bytes: $0, pages: 1 << page)
      }
    }
    let disk = PointDisk(number: 0, size: Settings.longDiskSize)
    _ = try writer.mark(NewPoint(disks: [disk], time: time))
    try writer.mergeRuns(entryBudget: 4_000_000)
  }
}
