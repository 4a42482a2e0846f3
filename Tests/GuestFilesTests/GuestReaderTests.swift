import Bytes
import Compute
import FileIO
import Foundation
import ImageFormats
import Support
import Testing

@testable import GuestFiles

/// Goal: what is told of a guest stands on its disk, and what can't be known is not told. Method: file systems
/// made of known files, of other kinds, and damaged in every way.
struct GuestReaderTests {
  private static func plan(_ disks: Int, _ subnet: String) -> MachinePlan {
    let adapter = MachinePlan.Adapter(
      network: .isolated, subnet: IPv4Subnet(subnet),
      hardware: HardwareAddress(high: 1, low: 1, adapter: 0))
    return MachinePlan(
      identifier: .random(), name: "web01", cores: 1, memory: 1 << 30, firmware: .bios,
      disks: (0..<disks).map {
        MachinePlan.Disk(name: "\($0)", path: "/nowhere", isSystem: $0 == 0)
      }, adapters: [adapter], directory: "/nowhere", isDrill: true)
  }

  private static func verdicts(
    _ facts: GuestFacts, _ plan: MachinePlan
  ) -> [String: ComputeFinding.Verdict] {
    let findings = GuestCheck(facts, plan).findings()
    return Dictionary(findings.map { ($0.subject, $0.verdict) }) { first, _ in first }
  }

  @Test(
    "the facts of a guest are those of its files, with or without a partition table",
    .enabled(if: Available.programs("mkfs.ext4", "sfdisk")), arguments: [true, false])
  func usual(isPartitioned: Bool) throws {
    let disk = try GuestDisk(usualFiles, isPartitioned: isPartitioned)
    let facts = GuestReader([try RawImage(disk.path)]).facts()
    #expect(facts.root.value == GuestFacts.Place(disk: 0, partition: isPartitioned ? 1 : 0))
    #expect(facts.system == .known("Debian GNU/Linux 12", source: "/etc/os-release"))
    #expect(facts.hostName.value == "web01")
    #expect(facts.kernels.value == ["6.1.0-9-amd64", "6.1.0-10-amd64"])
    #expect(facts.initialFileSystems.value == ["6.1.0-9-amd64"])
    #expect(facts.diskDriver.value == .builtIn && facts.networkDriver.value == .absent)
    #expect(facts.serialConsole == .known(false, source: "/boot/grub/grub.cfg"))
    #expect(facts.serialLogin.value == false)
    #expect(facts.namedDevices.value == ["/dev/sdb1", "root=/dev/sda1"])
    #expect(facts.staticAddresses.value?.map(\.address) == ["192.0.2.7", "198.51.100.4"])
    #expect(facts.disks[0].loader.value == "none")
    let verdicts = Self.verdicts(facts, Self.plan(1, "192.0.2.0/24"))
    #expect(verdicts["bootLoader"] == .warning && verdicts["diskDriver"] == .ok)
    for subject in [
      "kernel", "networkDriver", "serialConsole", "serialLogin", "devices", "addresses",
    ] {
      #expect(verdicts[subject] == .warning, "\(subject)")
    }
  }

  @Test(
    "what a guest lacks is not taken for what is well",
    .enabled(if: Available.programs("mkfs.ext4", "sfdisk")))
  func poor() throws {
    let disk = try GuestDisk(["/etc/hostname": "poor\n"])
    let facts = GuestReader([try RawImage(disk.path)]).facts()
    #expect(facts.hostName.value == "poor" && facts.system.value == nil)
    let verdicts = Self.verdicts(facts, Self.plan(1, "192.0.2.0/24"))
    for subject in ["diskDriver", "serialConsole", "serialLogin", "devices", "addresses"] {
      #expect(verdicts[subject] == .notChecked, "\(subject)")
    }
    #expect(verdicts["kernel"] == .warning && verdicts["bootLoader"] == .warning)
  }

  @Test("disks are named by their numbers, whatever their order")
  func numbers() {
    var facts = GuestReader([Memory([UInt8](repeating: 0, count: 1 << 20))], numbers: [3]).facts()
    facts.disks = [3, 1].map { _ in
      GuestFacts.Disk(
        scheme: .known("mbr", source: "s"), loader: .known("grub", source: "s"),
        systemPartition: .known(0, source: "s"))
    }
    var plan = Self.plan(2, "192.0.2.0/24")
    plan.disks = [("disk3", true), ("disk1", false)].map {
      MachinePlan.Disk(name: $0, path: "/nowhere", isSystem: $1)
    }
    let found = GuestCheck(facts, plan).findings().map(\.found)
    #expect(found.contains { $0.hasPrefix("Disk 3, the OS disk, has 'grub'.") }, "\(found)")
    #expect(found.contains { $0.hasPrefix("Disks 1, 3 could all start") }, "\(found)")
  }

  @Test("a firmware that would find nothing to start, and a kernel without its disk, are warned of")
  func unstartable() {
    func known<T: Sendable>(_ value: T) -> Fact<T> { .known(value, source: "s") }
    var facts = GuestReader([Memory([UInt8](repeating: 0, count: 1 << 20))]).facts()
    func verdict(
      _ subject: String, _ firmware: MachinePlan.Firmware, _ disk: GuestFacts.Disk,
      _ driver: GuestFacts.Driver
    ) -> ComputeFinding.Verdict? {
      var plan = Self.plan(1, "192.0.2.0/24")
      plan.firmware = firmware
      (facts.disks, facts.diskDriver) = ([disk], known(driver))
      return Self.verdicts(facts, plan)[subject]
    }
    let none = GuestFacts.Disk(
      scheme: known("gpt"), loader: known("none"), systemPartition: known(0))
    let both = GuestFacts.Disk(
      scheme: known("gpt"), loader: known("grub"), systemPartition: known(1))
    #expect(verdict("bootLoader", .uefi, none, .builtIn) == .warning)
    #expect(verdict("bootLoader", .uefi, both, .builtIn) == .notChecked)
    #expect(verdict("bootLoader", .bios, none, .builtIn) == .warning)
    #expect(verdict("bootLoader", .bios, both, .builtIn) == .ok)
    #expect(verdict("diskDriver", .bios, both, .absent) == .warning)
    #expect(verdict("diskDriver", .bios, both, .module) == .notChecked)
    #expect(verdict("diskDriver", .bios, both, .builtIn) == .ok)
  }

  @Test(
    "a root file system of another kind is named, and nothing else is told of it",
    .enabled(if: Available.programs("mkfs.xfs", "mkfs.btrfs")))
  func others() throws {
    let home = try TemporaryDirectory("guest")
    for (program, name) in [("mkfs.xfs", "xfs"), ("mkfs.btrfs", "btrfs")] {
      let path = home.file(name)
      try File(path, .creating(permissions: 0o600)).truncate(to: 512 << 20)
      try Program.require(program, "-q", path)
      let facts = GuestReader([try RawImage(path)]).facts()
      guard case .notChecked(let reason) = facts.root else {
        Issue.record("\(facts.root)")
        continue
      }
      #expect(reason.contains("\(name) on disk 0") && facts.system == .notChecked(reason))
      let verdicts = Self.verdicts(facts, Self.plan(1, "192.0.2.0/24"))
      let unknown = verdicts.filter { $0.key != "bootLoader" }
      #expect(unknown.values.allSatisfy { $0 == .notChecked }, "\(verdicts)")
    }
  }

  @Test(
    "a disk with any bytes damaged is read without harm and to an end",
    .enabled(if: Available.programs("mkfs.ext4", "sfdisk")), .timeLimit(.minutes(60)))
  func hostile() throws {
    let disk = try GuestDisk(usualFiles)
    let good = try FileSystem.system.readFile(disk.path, limit: 32 << 20)
    var random = SeededGenerator(for: "guest files")
    let count = Count.of("TIDEMARK_FUZZ", normally: 2000) / 20
    for _ in 0..<count {
      var bytes = good
      // Where the structures lie, not what is in files.
      for _ in 0..<random.number(1..<200) {
        let place = (1 << 20) + random.number(0..<2 << 20)
        bytes[place] = UInt8(random.number(0..<256))
      }
      let facts = GuestReader([Memory(bytes)]).facts()
      #expect(facts.disks.count == 1)
    }
  }

  /// A disk in memory.
  private struct Memory: DiskContent {
    let bytes: [UInt8]
    init(_ bytes: [UInt8]) { self.bytes = bytes }
    var size: UInt64 { UInt64(bytes.count) }
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) {
      buffer.copyBytes(from: bytes[Int(offset)..<Int(offset) + buffer.count])
    }
    func nextData(from offset: UInt64) -> UInt64? { offset < size ? offset : nil }
    func nextHole(from offset: UInt64) -> UInt64 { size }
  }

  @Test(
    "a process of its own finds the same facts, and one that dies, lies or hangs tells none",
    .enabled(if: Available.programs("mkfs.ext4", "sfdisk")))
  func process() throws {
    let disk = try GuestDisk(usualFiles)
    let disks = [try RawImage(disk.path)]
    let deadline = { ContinuousClock.now + Duration.seconds(30) }
    let facts = GuestFactsProcess(command: [Product.tidemark, "guest-facts"])
      .facts(of: disks, until: deadline())
    #expect(facts == GuestReader(disks).facts())
    let scripts = [
      "exit 1", "kill -SEGV $$", "echo nonsense", "echo 'read 0 99999999999 4096'; sleep 60",
      "echo 'read 1 0 512'; sleep 60", "echo 'facts {}'", "exec sleep 60",
    ]
    for script in scripts {
      let failed = GuestFactsProcess(command: ["/bin/sh", "-c", script])
        .facts(of: disks, until: .now + .seconds(1))
      guard case .notChecked = failed.root, case .notChecked = failed.disks[0].loader else {
        Issue.record("\(script): \(failed)")
        continue
      }
    }
  }

  @Test(
    "of the Debian disk everything is known that its start needs",
    .enabled(if: DebianDisk.isAvailable))
  func debian() throws {
    let disk = try RawImage(try DebianDisk.kept())
    let facts = GuestReader([disk]).facts()
    #expect(facts.system.value?.hasPrefix("Debian GNU/Linux 12") == true)
    #expect(facts.disks[0].loader.value == "syslinux" && facts.hostName.value == "guest")
    #expect(facts.kernels.value?.count == 1)
    #expect(facts.initialFileSystems.value == facts.kernels.value)
    #expect(facts.diskDriver.value == .module && facts.networkDriver.value == .module)
    #expect(facts.serialConsole.value == true && facts.serialLogin.value == true)
    #expect(facts.namedDevices.value == ["/dev/vda1", "root=/dev/vda1"])
    #expect(facts.staticAddresses.value == [])
    let verdicts = Self.verdicts(facts, Self.plan(1, "192.0.2.0/24"))
    #expect(verdicts.filter { $0.value == .warning }.isEmpty, "\(verdicts)")
    let twice = GuestReader([disk, disk]).facts()
    #expect(Self.verdicts(twice, Self.plan(2, "192.0.2.0/24"))["bootLoaders"] == .warning)
  }
}
