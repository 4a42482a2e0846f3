internal import Bytes
internal import FileIO
internal import Foundation
internal import Support
internal import Vault

/// A vault with one machine, `bench`, used through the command line as an operator would; only the
/// many points after the first are made without it.
struct TidemarkVault {
  let path: String
  let size: UInt64
  static let machine = "bench"

  /// Makes a vault that replicates `image`.
  init(at path: String, codec: String, image: String) throws {
    self.path = path
    size = try FileSystem.system.status(image).size
    try run("vault", "init", path, "--codec", codec)
    try run("machine", "add", Self.machine, "--disk", image, "--capture", "scan")
  }

  /// A vault that is there already.
  init(at path: String, size: UInt64) { (self.path, self.size) = (path, size) }

  /// Names the vault, and keeps it out of the user's own configuration.
  private var environment: [String: String] {
    ["TIDEMARK_VAULT": path, "XDG_CONFIG_HOME": path + "-configuration"]
  }

  private func run(_ arguments: String..., seconds: Double = 1200) throws {
    let result = try Program(Product.tidemark, arguments, environment: environment)
      .wait(seconds: seconds)
    guard result.succeeded else {
      throw ProgramFailure(command: "tidemark \(arguments.joined(separator: " "))", result: result)
    }
  }

  /// Makes a recovery point.
  func replicate() throws { try run("replicate", Self.machine) }

  /// Makes a recovery point as a cycle of replication would, of these writes alone: hundreds of scans,
  /// or of clones of an ever more fragmented image, would take hours.
  func add(_ writes: [Write], madeTo image: String) throws {
    var changed: [UInt64: UInt16] = [:]
    for write in writes {
      for page in write.offset >> 12..<(write.offset + UInt64(write.count)) >> 12 {
        changed[page >> 4, default: 0] |= 1 << (page & 15)
      }
    }
    let vault = try Vault(opening: path)
    let source = try File(image, .reading)
    let writer = try MachineWriter(
      machine: try vault.machine(named: Self.machine), in: vault, lock: try vault.lock())
    for (block, pages) in changed.sorted(by: { $0.key < $1.key }) {
      let bytes = try source.read(at: block << 16, count: Int(min(1 << 16, size - block << 16)))
      try bytes.withUnsafeBytes { try writer.write(disk: 0, block: block, bytes: $0, pages: pages) }
    }
    _ = try writer.mark(
      NewPoint(disks: [PointDisk(number: 0, size: size)], time: .now()))
    try writer.mergeRuns(entryBudget: 4_000_000)
    try writer.close()
  }

  /// Writes the disk at the newest point as a fixed VHD.
  func export(to output: String) throws {
    try run("export", Self.machine, "--point", "latest", "--format", "vhd", output)
  }

  /// Fails the machine over to its newest point, and gives the directory of its disks.
  func failOver() throws -> String {
    let arguments = [
      "failover", "start", Self.machine, "--point", "latest-processed", "--yes", "--json",
    ]
    let result = try Program(Product.tidemark, arguments, environment: environment)
      .wait(seconds: 120)
    let job = try? JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any]
    let recovery = job?["recovery"] as? [String: Any]
    guard result.succeeded, let directory = recovery?["directory"] as? String else {
      throw ProgramFailure(
        command: "tidemark \(arguments.joined(separator: " "))", result: result)
    }
    return directory
  }

  /// A copy of the vault as it is now.
  func copy(to copy: String) throws -> TidemarkVault {
    try Program.require("cp", "--archive", "--reflink=auto", path, copy)
    return TidemarkVault(at: copy, size: size)
  }

  /// Mounts the vault, and waits for the first bytes of a point's disk.
  func serve(on bench: Workbench, point: String = "latest", offset: UInt64 = 0) throws
    -> ServedDisk
  {
    let mountPoint = bench.file("mount")
    if !FileSystem.system.exists(mountPoint) {
      try FileSystem.system.makeDirectory(mountPoint)
    }
    let parent = point.hasPrefix("latest") ? "" : "points/"
    return try ServedDisk(
      [Product.tidemark, "mount", "--foreground", mountPoint],
      environment: environment, mountPoint: mountPoint,
      path: "\(mountPoint)/\(Self.machine)/\(parent)\(point)/disk0.raw",
      size: size, offset: offset)
  }
}
