internal import FileIO
internal import Support

/// Everything that is compared, made from the same bytes: the image as it changes, a vault for each
/// codec as it was at each depth, and the peer's chain.
struct Subjects {
  static let codecs = ["zstd", "zlib", "none"]

  let chain: QemuChain
  /// The vaults by codec and depth.
  private(set) var vaults: [String: [Int: TidemarkVault]] = [:]
  /// The disk as it is at the newest point.
  let image: String
  /// Places for fio to read, where the disk held data from the first.
  let places: String

  init(
    _ pristine: InputImage, _ settings: Settings, on bench: Workbench, report: Report
  ) throws {
    var changes = Changes(to: pristine, settings)
    places = bench.file("places")
    try Measure.writePlaces(changes, to: places, count: Int(settings.seconds * 100_000))
    image = bench.file("disk.raw")
    try Program.require("cp", "--reflink=auto", pristine.path, image)
    report.progress("making the peer's chain and a vault for each codec")
    chain = try QemuChain(pristine, on: bench)
    let image = image
    let current = try Self.codecs.map { codec in
      (codec, try TidemarkVault(at: bench.file("vault-\(codec)"), codec: codec, image: image))
    }
    for (codec, vault) in current {
      let time = try ContinuousClock().measure { try vault.replicate() }.inSeconds
      report.add("replicate-first/tidemark-\(codec)", [time], "s")
    }
    for depth in 1...(settings.depths.last ?? 1) {
      if depth > 1 {
        let writes = changes.next()
        try changes.apply(writes, to: image)
        try chain.add(writes)
        for (_, vault) in current { try vault.add(writes, madeTo: image) }
      }
      guard settings.depths.contains(depth) else { continue }
      for (codec, vault) in current {
        vaults[codec, default: [:]][depth] = try vault.copy(to: "\(vault.path)-\(depth)")
      }
      report.progress("  \(depth) points are there")
    }
    try tellSizes(report)
  }

  private func tellSizes(_ report: Report) throws {
    for codec in Self.codecs {
      for (depth, vault) in (vaults[codec] ?? [:]).sorted(by: { $0.key < $1.key }) {
        report.add("size/tidemark-\(codec)/\(depth)", [try Self.size([vault.path])], "MiB")
      }
    }
    for depth in vaults[Self.codecs[0], default: [:]].keys.sorted() {
      report.add("size/qemu/\(depth)", [try Self.size(chain.files(depth: depth))], "MiB")
    }
  }

  private static func size(_ paths: [String]) throws -> Double {
    let bytes = try FileSystem.files(below: paths).map {
      try FileSystem.system.status($0).allocated
    }
    return Double(bytes.reduce(0, +)) / Double(1 << 20)
  }

  /// A vault as it was at a depth.
  func vault(_ codec: String, _ depth: Int) throws -> TidemarkVault {
    guard let vault = vaults[codec]?[depth] else { throw Missing(name: "\(codec)/\(depth)") }
    return vault
  }

  struct Missing: Error { let name: String }
}
