internal import FileIO
internal import FuseMount
internal import Glibc
internal import Support
internal import Testing
internal import Vault

/// Goal: an ordinary user can mount a vault that may be read, and only that user sees the mount.
/// Method: a server that gives up root before it mounts; programs run as that user and as root.
@Suite(
  .serialized, .timeLimit(.minutes(15)),
  .enabled(
    if: Available.root && Available.fuse && Available.programs("fusermount3", "setpriv")))
struct OrdinaryUserTests {
  let fixture: VaultFixture
  private let device: OpenDevice

  init() throws {
    device = try OpenDevice()
    var generator = SeededGenerator(for: "content of the disks")
    fixture = try VaultFixture.partitioned("user", points: 2, &generator)
    // Root's, and readable by all: the user may read the vault but not write to it.
    try Program.require("chmod", "-R", "a+rX", fixture.directory.path)
  }

  @Test("a vault that may only be read is mounted through fusermount3, for its user alone")
  func mounting() throws {
    let mount = try ServedMount(fixture, ["--user", "65534"])
    let path = mount.path(fixture.history[1].point, "disk0.raw")
    let sum = fixture.directory.file("sum")
    try File(sum, .creating(permissions: 0o644)).write(fixture.history[1].disks[0], at: 0)
    let compared = try ServedMount.asNobody("cmp", path, sum)
    #expect(compared.succeeded, "\(compared.report)")
    #expect(try ServedMount.asNobody("stat", "-c", "%u %A", path).output == "65534 -r--r--r--\n")
    #expect(access(path, R_OK) == -1 && errno == EACCES, "not even root")
    let result = mount.end(SIGTERM)
    #expect(result.status == 0 && result.output == "ready\nended\n", "\(result.report)")
    #expect(!mount.isMounted)
  }

  @Test("a file system that may only be read is enough")
  func readOnlyFileSystem() throws {
    let place = fixture.directory.file("readonly")
    try FileSystem.system.makeDirectory(place)
    try Program.require("mount", "--bind", "-o", "ro", fixture.vault.path, place)
    try Program.require("mount", "-o", "remount,bind,ro", place)
    defer { umount2(place, Int32(MNT_DETACH)) }
    let mountPoint = fixture.directory.file("mnt")
    try FileSystem.system.makeDirectory(mountPoint)
    let server = try Program(Product.path("MountServer"), [place, mountPoint])
    #expect(Program.poll(seconds: 20) { server.outputSoFar.output == "ready\n" })
    let disk = "\(mountPoint)/\(VaultFixture.machine)/latest/disk0.raw"
    #expect(try bytes(of: disk) == fixture.history[1].disks[0])
    server.signal(SIGTERM)
    #expect(server.wait(seconds: 20).status == 0)
  }

  @Test("root lets other users see the mount if asked to")
  func allowOther() throws {
    let mount = try ServedMount(fixture, ["--allow-other"])
    let path = mount.path(fixture.history[1].point, "disk1.raw")
    let listing = try ServedMount.asNobody("cat", path)
    #expect(listing.succeeded, "\(listing.errors)")
    let closed = try ServedMount(fixture, at: "other")
    #expect(try !ServedMount.asNobody("ls", closed.mountPoint).succeeded)
  }

  @Test("an ordinary user is told what lets others see the mount")
  func allowOtherRefused() throws {
    let configuration = (try? Program.require("cat", "/etc/fuse.conf")) ?? ""
    try #require(!configuration.split(separator: "\n").contains("user_allow_other"))
    do {
      _ = try ServedMount(fixture, ["--user", "65534", "--allow-other"])
      Issue.record("mounted all the same")
    } catch let failure as NotServed {
      #expect(failure.result.errors.hasPrefix("refused: "))
      #expect(failure.result.errors.contains("user_allow_other"))
      #expect(failure.result.errors.contains("/etc/fuse.conf"))
    }
  }

  @Test("a mount point the user may not write to is refused with fusermount3's reason")
  func foreignMountPoint() throws {
    let place = fixture.directory.file("foreign")
    try FileSystem.system.makeDirectory(place, permissions: 0o755)
    let server = Product.path("MountServer")
    let result = try Program.run(server, fixture.vault.path, place, "--user", "65534")
    #expect(result.status == 3)
    #expect(result.errors.hasPrefix("refused: Cannot mount on '\(place)': fusermount3 says: "))
    #expect(!ServedMount.isMounted(place))
  }

  @Test(
    "another user's mount is refused as taken, and a stale one of the user's own is cleared away")
  func stale() throws {
    let mount = try ServedMount(fixture, ["--user", "65534"])
    let server = Product.path("MountServer")
    let taken = try Program.run(server, fixture.vault.path, mount.mountPoint)
    #expect(taken.errors.hasPrefix("alreadyMounted: "), "\(taken.report)")
    _ = mount.end(SIGKILL)
    let again = try Program.run(server, fixture.vault.path, mount.mountPoint, "--user", "65534")
    #expect(again.errors.hasPrefix("stale: "), "\(again.report)")
    let cleared = try Program.run(server, "--unmount", mount.mountPoint, "--user", "65534")
    #expect(cleared.succeeded, "\(cleared.report)")
    #expect(!mount.isMounted)
  }
}

/// /dev/fuse, open to all users as udev makes it, also where no udev runs; as it was afterwards.
final class OpenDevice: Sendable {
  private static let path = "/dev/fuse"
  private let permissions: UInt32

  init() throws {
    permissions = try FileSystem.system.status(Self.path).permissions
    chmod(Self.path, 0o666)
  }

  deinit { chmod(Self.path, permissions) }
}
