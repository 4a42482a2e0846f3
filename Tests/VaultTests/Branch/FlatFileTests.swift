import Bytes
import FileIO
import Support
import Testing

@testable import Vault

/// Plain files of a branch, and the directory and the file system they lie in.
struct FlatFileTests {
  private typealias Site = BranchSite

  private func names(_ site: Site) throws -> [String] {
    try site.bench.system.list(site.bench.path + "/branches/\(Site.id)").sorted()
  }

  @Test("a copy that is given up as soon as it was begun leaves nothing, and none that still runs")
  func givenUpAtOnce() throws {
    let disk = SimulatedDisk(seed: 14)
    let site = try Site(on: disk.fileSystem)
    _ = try site.failOver()
    let branch = try site.vault.openBranch(Site.id)
    let flattener = BranchFlattener(branch)
    for _ in 0..<100 where !branch.isFlat {
      flattener.begin()
      flattener.cancel()
      let isLeft = try branch.wantsFlat || names(site).contains("disk0.raw")
      #expect(branch.isFlat || !isLeft)
    }
    flattener.end()
    try branch.close()
  }

  @Test("what a killed reader left beside plain files is cleared away, and what is in use is not")
  func clears() throws {
    let disk = SimulatedDisk(seed: 15)
    let site = try Site(on: disk.fileSystem)
    _ = try site.failOver()
    let branch = try site.vault.openBranch(Site.id)
    try branch.flatten(FlattenControl())
    try branch.close()
    let left = "\(site.bench.path)/branches/\(Site.id)/.clone-1"
    try disk.fileSystem.replaceFile(left, with: [1], permissions: 0o600)
    let again = try site.vault.openBranch(Site.id)
    #expect(try names(site) == ["MANIFEST", "MANIFEST.first", "disk0.raw", "lock", "readers"])
    #expect(try site.reads(again.disks[0], 1))
    try again.close()
  }

  private func write(_ branch: Branch, block: UInt64) throws {
    try [UInt8](repeating: 3, count: Layout.blockSize).withUnsafeBytes {
      try branch.disks[0].write($0, at: block * UInt64(Layout.blockSize))
    }
  }

  /// A branch that is plain files, on a file system of its own that can have files share their bytes.
  private func flattened(on mount: LoopMount) throws -> (site: Site, branch: Branch) {
    let site = try Site(on: .system, at: mount.path + "/vault")
    _ = try site.failOver()
    let branch = try site.vault.openBranch(Site.id)
    try write(branch, block: 5)
    try branch.flatten(FlattenControl())
    return (site, branch)
  }

  @Test(
    "in a full vault what lies over bytes that have their room is taken, and no more",
    .enabled(if: Available.root && Available.programs("mkfs.xfs")))
  func fills() throws {
    let mount = try LoopMount(.xfs, size: 400 << 20)
    defer { withExtendedLifetime(mount) {} }
    let (site, branch) = try flattened(on: mount)
    try branch.flush()
    let space = try site.vault.space()
    // The reserve has room for all that is written here.
    let count = space.free - Vault.reserve(of: space.total) + (1 << 20)
    try Program.require("fallocate", "-l", "\(count)", mount.path + "/others")
    #expect(throws: VaultError.self) { try write(branch, block: 20) }
    for _ in 0..<3 { try write(branch, block: 5) }
    #expect(throws: VaultError.self) { try write(branch, block: 20) }
    try branch.flush()
    try FileSystem.system.remove(mount.path + "/others")
    // The file system gives the room back in the background.
    #expect(Program.poll(seconds: 60) { (try? write(branch, block: 20)) != nil })
    try branch.close()
  }

  @Test(
    "plain files that are in use are taken as they are at one moment, where files can share bytes",
    .enabled(if: Available.root && Available.programs("mkfs.xfs")))
  func clones() throws {
    let mount = try LoopMount(.xfs, size: 400 << 20)
    defer { withExtendedLifetime(mount) {} }
    let (site, branch) = try flattened(on: mount)
    let cut = try site.vault.readBranch(Site.id, isLive: true)
    let live = try site.vault.readBranch(Site.id)
    #expect(try !names(site).contains { $0.hasPrefix(".") })
    #expect(try site.reads(cut.disks[0], 2) && !live.hasChanged())
    try write(branch, block: 2)
    #expect(try site.reads(cut.disks[0], 2) && !cut.hasChanged())
    #expect(try !site.reads(live.disks[0], 2) && live.hasChanged())
    try branch.close()
  }
}
