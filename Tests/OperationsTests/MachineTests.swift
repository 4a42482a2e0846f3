import Bytes
import Capture
import Codecs
import FileIO
import Support
import Testing
import Vault

@testable import Operations

/// A vault in a directory of its own, and short ways to use it.
final class Site {
  let directory: TemporaryDirectory
  let vault: Vault

  init() throws {
    directory = try TemporaryDirectory("site")
    vault = try Vault.create(at: directory.file("vault"), name: "site", codec: .zstd)
  }

  /// A site whose logs are on a simulated disk; its catalog is not.
  init(on disk: SimulatedDisk) throws {
    directory = try TemporaryDirectory("site")
    let path = directory.file("vault")
    try FileSystem.system.makeDirectory(path, permissions: 0o700)
    var parent = ""
    for name in directory.path.split(separator: "/") {
      parent += "/" + name
      try disk.fileSystem.makeDirectory(parent)
    }
    vault = try Vault.create(at: path, name: "site", codec: .zstd, on: disk.fileSystem)
  }

  /// Makes a disk's file.
  func disk(_ name: String, size: UInt64 = 1 << 20) throws -> String {
    let path = directory.file(name)
    try File(path, .creating(permissions: 0o600)).truncate(to: size)
    return path
  }

  func add(
    _ name: String, _ disks: [String], capture: CaptureMode = .scan, format: SourceFormat? = nil
  ) throws -> MachineSummary {
    try AddMachine(
      name: name, operatingSystem: .linux, disks: disks, capture: capture, format: format
    ).run(in: vault)
  }

  @discardableResult
  func replicate(
    _ name: String, label: String? = nil, cancelled: @escaping () -> Bool = { false }
  ) throws -> [CaptureResult] {
    var options = CaptureOptions()
    options.label = label
    var made: [CaptureResult] = []
    try Replicate(machine: name, options: options).run(
      in: vault, progress: { _ in }, cancelled: cancelled, made: { made.append($0) })
    return made
  }

  /// The error that `body` ends with; nil if it does not fail.
  func failure(_ body: () throws -> Void) throws -> OperationError? {
    do {
      try body()
      return nil
    } catch let error as OperationError { return error }
  }
}

/// Goal: a machine gets into a vault only if it can be replicated, and leaves nothing behind.
@Suite struct MachineTests {
  @Test(
    "names that break the rules are refused, and nothing is added",
    arguments: [
      "", "-a", "a-", "a b", "a/b", "..", ".", "a_b", "ä", "test-failovers", "failed-over",
      "Failed-Over", "a\n", String(repeating: "a", count: 64),
    ])
  func badNames(name: String) throws {
    let site = try Site()
    let disk = try site.disk("a.img")
    #expect(try site.failure { _ = try site.add(name, [disk]) }?.code == .refused)
    #expect(try MachineSummary.all(in: site.vault).isEmpty)
  }

  @Test("names at the edge of the rules are taken, one only once in any case")
  func goodNames() throws {
    let site = try Site()
    for (number, name) in ["a", "A1-2b", String(repeating: "a", count: 63)].enumerated() {
      #expect(try site.add(name, [site.disk("\(number).img")]).name == name)
    }
    let disk = try site.disk("again.img")
    #expect(try site.failure { _ = try site.add("a1-2B", [disk]) }?.code == .refused)
  }

  @Test("disks that no machine could have are told of")
  func badDisks() throws {
    let site = try Site()
    let good = try site.disk("good.img")
    let cases: [([String], OperationError.Code)] = [
      ([site.directory.file("missing.img")], .source), ([try site.disk("empty", size: 0)], .source),
      ([try site.disk("odd", size: 1000)], .source), ([site.directory.path], .source),
      ([good, good], .refused), ([good, site.directory.path + "/./good.img"], .refused),
      ([try site.disk("machine.vhdx")], .refused), ([try site.disk("machine.QCOW2")], .refused),
      ([try site.disk("plain.vhd")], .source), ([], .refused), ([""], .refused),
    ]
    for (disks, code) in cases {
      #expect(try site.failure { _ = try site.add("m", disks) }?.code == code, "\(disks)")
    }
    #expect(try MachineSummary.all(in: site.vault).isEmpty)
  }

  @Test("an extension gives way to what the operator says")
  func formatByOption() throws {
    let site = try Site()
    let raw = try site.add("raw", [site.disk("disk.vhd"), site.disk("disk.qcow2")], format: .raw)
    #expect(raw.configuration?.disks.map(\.format) == [.raw, .raw])
    #expect(
      try site.failure { _ = try site.add("vhd", [site.disk("disk.img")], format: .vhd) }?.code
        == .source)
  }

  @Test("paths are kept absolute")
  func absolutePaths() throws {
    #expect(try absolute("/a//b/./c") == "/a/b/c")
    #expect(try absolute("x/y").hasPrefix("/"))
    #expect(try absolute("x/y").hasSuffix("/x/y"))
    #expect(try absolute("/a/../b") == "/a/../b")
  }

  @Test("a machine being read is not removed; afterwards it goes with its points")
  func removal() throws {
    let site = try Site()
    _ = try site.add("web01", [try site.disk("a.img")])
    try site.replicate("web01")
    let remove = RemoveMachine(name: "web01")
    do {
      let reader = try Vault(opening: site.vault.path)
      let snapshot = try reader.machine(named: "web01").snapshot()
      #expect(try site.failure { _ = try remove.run(in: site.vault) }?.code == .refused)
      #expect(snapshot.points.count == 1)
    }
    #expect(try remove.run(in: site.vault).isEmpty)
    #expect(try MachineSummary.all(in: site.vault).isEmpty)
    #expect(try FileSystem.system.list(site.vault.path + "/machines").isEmpty)
    #expect(try site.failure { _ = try remove.run(in: site.vault) }?.code == .unknown)
  }

  @Test("the clones beside a removed machine's disks go with it", .enabled(if: Available.root))
  func removesClones() throws {
    let mount = try LoopMount(.xfs, size: 400 << 20)
    let site = try Site()
    let path = mount.file("a.img")
    try File(path, .creating(permissions: 0o600)).truncate(to: 1 << 20)
    _ = try site.add("web01", [path], capture: .reflink)
    try site.replicate("web01")
    #expect(FileSystem.system.exists(mount.file(".tidemark")))
    #expect(try RemoveMachine(name: "web01").run(in: site.vault).isEmpty)
    #expect(!FileSystem.system.exists(mount.file(".tidemark")))
    #expect(try MachineSummary.all(in: site.vault).isEmpty)
  }

  @Test("capture by cloning is refused at once where it can't work")
  func unclonable() throws {
    let site = try Site()
    let disk = try site.disk("a.img")
    guard try FileSystem.system.kind(at: disk) == .other else { return }
    let error = try site.failure { _ = try site.add("web01", [disk], capture: .reflink) }
    #expect(error?.code == .source)
    #expect(error?.message.contains("--capture scan") == true)
  }
}
