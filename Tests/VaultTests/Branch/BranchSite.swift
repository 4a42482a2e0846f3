import Bytes
import FileIO
import Support
import Testing

@testable import Vault

/// A machine of two points whose blocks 0 to 3 hold something, and a pinned cut.
final class BranchSite {
  static let id = Identifier(high: 4, low: 4)

  let bench: Workbench
  var points: [ModelPoint] = []

  init(on system: FileSystem, at path: String = "/vault") throws {
    bench = try Workbench(on: system, at: path, blocks: 32)
    let writer = try bench.writer()
    for _ in 0..<2 {
      for block in 0..<4 { try bench.write(writer, block: block) }
      points.append(try bench.mark(writer))
    }
    try writer.close()
  }

  var vault: Vault { get throws { try Vault(opening: bench.path, on: bench.system) } }
  var lock: VaultLock { get throws { try #require(bench.lock) } }

  func failOver(budget: UInt64? = nil) throws -> BranchDescription {
    let writer = try bench.writer()
    try writer.raiseEpoch(
      BranchPin(branch: Self.id, cut: points[0].point.sequence, purpose: .failover))
    try writer.close()
    return try make(budget)
  }

  func make(_ budget: UInt64? = nil) throws -> BranchDescription {
    try vault.makeBranch(
      NewBranch(id: Self.id, name: "harbour", point: points[0].point, budget: budget),
      of: bench.machine, lock: lock)
  }

  func reads(_ disk: some DiskContent, _ block: Int) throws -> Bool {
    var bytes = [UInt8](repeating: 1, count: Layout.blockSize)
    let start = block * Layout.blockSize
    try bytes.withUnsafeMutableBytes { try disk.read(into: $0, at: UInt64(start)) }
    return bytes == points[0].disks.bytes(0, start..<start + Layout.blockSize)
  }

  /// Opens the branch with segments of `size` bytes, whose keeper works when it is told to.
  func open(_ size: UInt64 = 40_000, pace: KeeperPace = .stepped) throws -> Branch {
    try vault.openBranch(
      Self.id, limits: LogLimits(segmentSize: size, lowestTier: 4),
      clock: { Timestamp(seconds: 9) }, pace: pace)
  }
}
