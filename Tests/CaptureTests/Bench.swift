import Bytes
import Codecs
import FileIO
import Support
import Testing
import Vault

@testable import Capture

/// A vault with one machine, and its disks' files, in a directory that goes with the value.
final class Bench {
  let directory: TemporaryDirectory
  let vault: Vault
  let machine: Machine
  let configuration: MachineConfiguration

  /// The file system the disks lie on; nil if they lie in the directory.
  private let mount: LoopMount?

  /// Makes sparse files of these sizes, and a machine that has them as its disks.
  init(sizes: [UInt64], capture: CaptureMode = .scan, on mount: LoopMount? = nil) throws {
    self.mount = mount
    directory = try TemporaryDirectory("capture")
    var disks: [DiskConfiguration] = []
    for (number, size) in sizes.enumerated() {
      let path = (mount?.path ?? directory.path) + "/disk\(number).img"
      try File(path, .creating(permissions: 0o600)).truncate(to: size)
      disks.append(
        DiskConfiguration(
          number: DiskNumber(number), path: path, capture: capture, format: .raw))
    }
    configuration = MachineConfiguration(name: "bench", operatingSystem: .linux, disks: disks)
    vault = try Vault.create(at: directory.file("vault"), name: "bench", codec: .zstd)
    machine = try vault.addMachine(configuration, lock: try vault.lock())
  }

  /// The path of a disk's file.
  func path(_ disk: Int = 0) -> String { configuration.disks[disk].path }

  /// The path of a file beside the disks.
  func file(_ name: String) -> String { (mount?.path ?? directory.path) + "/" + name }

  /// Writes to a disk's file.
  func write(_ bytes: [UInt8], at offset: UInt64, disk: Int = 0) throws {
    try File(path(disk), .writing).write(bytes, at: offset)
  }

  /// Flips a bit of the vault's first segment.
  func flipBit(ofSegmentAt offset: UInt64) throws {
    let path = vault.path + "/machines/\(machine.id)/1.seg"
    let file = try File(path, .writing)
    try file.write([try file.read(at: offset, count: 1)[0] ^ 0x10], at: offset)
  }

  /// Runs a cycle; `progress` and `cancelled` see what `CaptureCycle` says and asks.
  func cycle(
    _ options: CaptureOptions = CaptureOptions(),
    progress: @escaping (CaptureProgress) -> Void = { _ in },
    cancelled: @escaping () -> Bool = { false }
  ) throws -> CaptureResult {
    let writer = try MachineWriter(machine: machine, in: vault, lock: try vault.lock())
    let cycle = CaptureCycle(
      machine: machine.id, disks: configuration.disks, options: options, progress: progress,
      cancelled: cancelled)
    do {
      let result = try cycle.run(with: LocalTarget(writer))
      try writer.close()
      return result
    } catch {
      try writer.close()
      throw error
    }
  }

  /// The code of the error that a cycle ends with.
  func failure(
    _ options: CaptureOptions = CaptureOptions(),
    progress: @escaping (CaptureProgress) -> Void = { _ in },
    cancelled: @escaping () -> Bool = { false }
  ) throws -> CaptureError? {
    do {
      _ = try cycle(options, progress: progress, cancelled: cancelled)
      return nil
    } catch let error as CaptureError { return error }
  }

  /// The recovery points, as a reader that comes now sees them.
  var points: [RecoveryPoint] {
    get throws { try machine.snapshot().points }
  }

  /// The bytes of a disk at a point.
  func content(of disk: Int = 0, at point: RecoveryPoint) throws -> [UInt8] {
    let reader = try machine.snapshot().disk(DiskNumber(disk), at: point)
    var bytes = [UInt8](repeating: 0xAA, count: Int(reader.size))
    try bytes.withUnsafeMutableBytes { try reader.read(into: $0, at: 0) }
    return bytes
  }

  /// The bytes of a disk's file.
  func source(_ disk: Int = 0) throws -> [UInt8] {
    let file = try File(path(disk), .reading)
    return try file.read(at: 0, count: Int(try file.status().size))
  }

  /// Whether a disk at a point is what its file is now.
  func isSame(_ disk: Int = 0, at point: RecoveryPoint) throws -> Bool {
    try content(of: disk, at: point) == source(disk)
  }

  /// The names in the directory of clones beside a disk.
  func clones(_ disk: Int = 0) throws -> [String] {
    let directory = FileSystem.parent(of: path(disk)) + "/" + CloneStore.directoryName
    guard FileSystem.system.exists(directory) else { return [] }
    return try FileSystem.system.list(directory).sorted()
  }
}

extension UInt64 {
  static func mebibytes(_ count: UInt64) -> UInt64 { count << 20 }
}
