internal import FileIO
internal import FuseMount
internal import Glibc
internal import RecoveryTree
internal import Support
internal import Testing
internal import Vault

/// Goal: a mount begins where it may, is explained where it may not, and always ends cleanly.
/// Method: real mounts, by processes that are signalled, killed, and unmounted from outside.
@Suite(
  .serialized, .timeLimit(.minutes(15)), .enabled(if: Available.root && Available.fuse))
struct LifeTests {
  let fixture: VaultFixture

  init() throws {
    var generator = SeededGenerator(for: "content of the disks")
    fixture = try VaultFixture.partitioned("life", points: 2, &generator)
  }

  @Test(
    "a signal ends the mount and the process, also while files are open",
    arguments: [SIGTERM, SIGINT, SIGHUP], [false, true])
  func signals(signal: Int32, isOpen: Bool) throws {
    let mount = try ServedMount(fixture)
    let path = mount.path(fixture.history[0].point, "disk0.raw")
    let reader = isOpen ? try Program("sh", ["-c", "exec 3<\(path); sleep 60"]) : nil
    if isOpen { usleep(200_000) }
    let result = mount.end(signal)
    #expect(result.status == 0, "\(result.report)")
    #expect(result.output == "ready\nended\n")
    #expect(!mount.isMounted)
    reader?.killGroup()
    _ = reader?.wait(seconds: 5)
  }

  @Test("unmounting from outside ends the process")
  func unmounting() throws {
    let mount = try ServedMount(fixture)
    try unmount(mount.mountPoint)
    let result = mount.server.wait(seconds: 20)
    #expect(result.status == 0, "\(result.report)")
    #expect(!mount.isMounted)
    expect(.notMounted) { try unmount(mount.mountPoint) }
  }

  @Test("a mount in use is not unmounted, unless lazily; its readers then go on")
  func busy() throws {
    let mount = try ServedMount(fixture)
    let file = try File(mount.path(fixture.history[1].point, "disk0.raw"), .reading)
    expect(.inUse) { try unmount(mount.mountPoint) }
    try unmount(mount.mountPoint, lazily: true)
    #expect(!mount.isMounted)
    #expect(try file.read(at: 0, count: 4 << 20) == fixture.history[1].disks[0])
    #expect(mount.server.isRunning)
  }

  @Test("a mount whose process was killed is explained, and unmounting clears it away")
  func stale() throws {
    let mount = try ServedMount(fixture)
    _ = mount.end(SIGKILL)
    #expect(mount.isMounted)
    let error = expect(.stale) { _ = try session(at: mount.mountPoint) }
    #expect(error?.message.contains("tidemark unmount \(mount.mountPoint)") == true)
    #expect(error?.message.contains("Transport endpoint is not connected") == true)
    try unmount(mount.mountPoint)
    #expect(!mount.isMounted)
    _ = try session(at: mount.mountPoint)
  }

  @Test("a mount point that is missing, no directory, not empty or mounted already is refused")
  func refusals() throws {
    let directory = fixture.directory
    expect(.missing) { _ = try session(at: directory.file("none")) }
    try File(directory.file("file"), .creating(permissions: 0o600)).write([1], at: 0)
    expect(.notADirectory) { _ = try session(at: directory.file("file")) }
    expect(.notEmpty) { _ = try session(at: directory.path) }
    let mount = try ServedMount(fixture)
    expect(.alreadyMounted) { _ = try session(at: mount.mountPoint) }
    expect(.alreadyMounted) { _ = try session(at: mount.mountPoint + "/") }
    expect(.notMounted) { try unmount(directory.path) }
    expect(.missing) { try unmount(directory.file("none")) }
  }

  @Test("files at the mount point are hidden if that was asked for, and there again afterwards")
  func hiding() throws {
    let place = fixture.directory.file("used")
    try FileSystem.system.makeDirectory(place)
    try File(place + "/file", .creating(permissions: 0o600)).write([1], at: 0)
    var options = MountOptions()
    options.mayHideFiles = true
    do {
      let session = try MountSession(
        tree: RecoveryTree(vault: fixture.vault), mountPoint: place, options: options)
      #expect(ServedMount.isMounted(place))
      withExtendedLifetime(session) {}
    }
    #expect(!ServedMount.isMounted(place))
    #expect(FileSystem.system.exists(place + "/file"))
  }

  @Test("a session served by this process answers, stops when told, and is gone when released")
  func inProcess() async throws {
    let place = fixture.directory.file("own")
    try FileSystem.system.makeDirectory(place)
    var options = MountOptions()
    options.endsOnSignals = false
    let session = try MountSession(
      tree: RecoveryTree(vault: fixture.vault), mountPoint: place, options: options)
    let ran = Task.detached {
      try session.run {
        #expect(FileSystem.system.exists(place + "/" + VaultFixture.machine))
        session.stop()
      }
    }
    try await ran.value
    #expect(!ServedMount.isMounted(place))
    let other = try MountSession(
      tree: RecoveryTree(vault: fixture.vault), mountPoint: place, options: options)
    other.stop()
    try await Task.detached { try other.run() }.value
    #expect(!ServedMount.isMounted(place), "stopped before it began")
  }

  @Test("in the background, the command returns once the mount answers, and the mount stays")
  func background() throws {
    let place = fixture.directory.file("back")
    try FileSystem.system.makeDirectory(place)
    let server = Product.path("MountServer")
    try Program.require(server, fixture.vault.path, place, "--background")
    #expect(try Program.require("ls", place) == VaultFixture.machine + "\n")
    try unmount(place)
    #expect(!ServedMount.isMounted(place))
  }

  @Test("in the background, the command fails with what kept the mount from being made")
  func backgroundFailure() throws {
    let server = Product.path("MountServer")
    let place = fixture.directory.file("none")
    let missing = try Program.run(server, fixture.vault.path, place, "--background")
    #expect(missing.status == 3)
    #expect(missing.errors.contains("backgroundFailed: missing: Cannot mount on '\(place)'"))
    let noVault = try Program.run(server, fixture.directory.path, place, "--background")
    #expect(noVault.status == 3)
    #expect(noVault.errors.contains(fixture.directory.path))
  }

  @Test("damage is EIO for the range it hurts, is reported once, and the rest stays readable")
  func damage() throws {
    let path = fixture.vault.path + "/machines"
    let machine = try #require(try FileSystem.system.list(path).first)
    let names = try FileSystem.system.list("\(path)/\(machine)").filter { $0.hasSuffix(".seg") }
    let segment = try File("\(path)/\(machine)/\(try #require(names.first))", .writing)
    // In the middle of the second write's bytes, which lie behind those of the first.
    let place = try segment.status().size / 4
    let byte = try segment.read(at: place, count: 1)
    try segment.write([byte[0] ^ 0x10], at: place)
    let mount = try ServedMount(fixture)
    let disk = try File(mount.path(fixture.history[0].point, "disk0.raw"), .reading)
    var failures = 0
    for page in 0..<1024 {
      do {
        let expected = fixture.history[0].disks[0][page * 4096..<page * 4096 + 4096]
        #expect(try disk.read(at: UInt64(page * 4096), count: 4096)[...] == expected)
      } catch {
        #expect(error.code == EIO)
        failures += 1
      }
    }
    #expect((1...16).contains(failures), "\(failures) pages")
    let faults = mount.server.outputSoFar.output.split(separator: "\n").filter {
      $0.hasPrefix("fault: ")
    }
    #expect((1...2).contains(faults.count), "\(faults)")
  }

  private func session(at path: String) throws(MountError) -> MountSession {
    try MountSession(tree: RecoveryTree(vault: fixture.vault), mountPoint: path)
  }
}

/// Expects the body to fail with this code; gives the error.
@discardableResult
func expect(
  _ code: MountError.Code, at location: SourceLocation = #_sourceLocation,
  _ body: () throws -> Void
) -> MountError? {
  do {
    try body()
    Issue.record("succeeded instead of failing with \(code)", sourceLocation: location)
  } catch let error as MountError {
    #expect(error.code == code, "\(error)", sourceLocation: location)
    return error
  } catch {
    Issue.record("failed with \(error)", sourceLocation: location)
  }
  return nil
}
