internal import Support

/// How much a run does.
struct Settings {
  /// Bytes of the replicated disk, and of real files in it.
  var imageSize: UInt64
  var dataSize: UInt64
  /// Numbers of recovery points at which disks are read; the peer's chain has as many files.
  var depths: [Int]
  /// Random writes between two recovery points, of 4 to 64 KiB each.
  var writesPerPoint: Int
  /// Numbers of recovery points of a disk of `longDiskSize` that is opened.
  var pointCounts: [Int]
  /// How often each measurement is made; the median counts.
  var rounds: Int
  /// Seconds that random reads are measured.
  var seconds: Double
  /// Recovery points that are opened in one mount.
  var openings: Int
  /// Bytes of the file system all this happens on, in a sparse file.
  var roomSize: UInt64
  /// Pages whose way into the vault is timed while nothing else happens.
  var delays: Int
  /// Numbers of machines, of four disks each, on one service; and MiB of each of these disks.
  var machineCounts: [Int]
  var smallDisk: Int
  var seed: UInt64 = 288

  static let longDiskSize: UInt64 = 1 << 40
  /// Pages written between two recovery points of the long disk.
  static let longDiskPages = 16

  /// What design and budgets speak of.
  static let full = Settings(
    imageSize: 4 << 30, dataSize: 1843 << 20, depths: [1, 64, 288], writesPerPoint: 256,
    pointCounts: [10, 1000, 10_000], rounds: 3, seconds: 3, openings: 33, roomSize: 64 << 30,
    delays: 2000, machineCounts: [1, 4, 10], smallDisk: 64)

  /// As little as shows that everything still works. The numbers mean nothing.
  static let quick = Settings(
    imageSize: 64 << 20, dataSize: 16 << 20, depths: [1, 3], writesPerPoint: 16,
    pointCounts: [10, 50], rounds: 1, seconds: 0.1, openings: 3, roomSize: 2 << 30,
    delays: 20, machineCounts: [1, 2], smallDisk: 4)
}

/// What the command line asks for.
struct Arguments {
  var settings = Settings.full
  var isJSON = false
  var parts = Set(Part.allCases)

  /// The parts of a run.
  enum Part: String, CaseIterable { case reads, export, opening, replication, branches }

  struct Misuse: Error {}

  init(_ arguments: [String]) throws {
    var rest = arguments[...]
    if let place = rest.firstIndex(of: "--quick") {
      settings = .quick
      rest.remove(at: place)
    }
    while let argument = rest.popFirst() {
      switch (argument, rest.first) {
      case ("--json", _): isJSON = true
      case ("--seed", let text?):
        guard let seed = UInt64(text) else { throw Misuse() }
        settings.seed = seed
        rest.removeFirst()
      case ("--only", let text?):
        let parts = text.split(separator: ",").map { Part(rawValue: String($0)) }
        self.parts = Set(parts.compactMap { $0 })
        guard self.parts.count == parts.count else { throw Misuse() }
        rest.removeFirst()
      default: throw Misuse()
      }
    }
  }
}
