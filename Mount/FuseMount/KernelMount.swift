internal import CFuse
internal import Glibc

/// A mount the kernel has made, and the descriptor its requests are read from.
///
/// Root asks the kernel itself (mount(2)); who may not, asks fusermount3.
struct KernelMount {
  /// The descriptor of /dev/fuse. Closing it ends the connection, for all who hold files open.
  let descriptor: Int32
  let path: String
  private let byHelper: Bool

  /// Bytes of a read at the most.
  ///
  /// The kernel would ask for 1 MiB at once. In pieces, several threads decompress it at the same
  /// time: on two processors, direct reads of 1 MiB came to 2.7 instead of 0.9 GB/s.
  static let readSizeLimit = 256 << 10

  private static let name = "tidemark"
  private static let device = "/dev/fuse"
  private static let configuration = "/etc/fuse.conf"

  /// What the kernel sees to by itself.
  struct Options: Sendable {
    /// Nothing can be written.
    let isReadOnly: Bool
    /// Users other than the one who mounts are let in, as far as the files' modes let them.
    let allowOther: Bool
    /// The kernel looks at the files' modes before it asks.
    let checksModes: Bool

    static func readOnly(allowOther: Bool) -> Options {
      Options(isReadOnly: true, allowOther: allowOther, checksModes: false)
    }

    /// Files that can be written, each for those whom its mode names.
    static func writable(allowOther: Bool) -> Options {
      Options(isReadOnly: false, allowOther: allowOther, checksModes: true)
    }

    /// As the kernel and fusermount3 read them.
    var text: String {
      "max_read=\(readSizeLimit)" + (allowOther ? ",allow_other" : "")
        + (checksModes ? ",default_permissions" : "")
    }
  }

  /// Mounts at a checked path.
  static func make(at path: String, _ options: Options) throws(MountError) -> KernelMount {
    guard access(device, R_OK | W_OK) == 0 else {
      throw errno == EACCES ? .closedDevice : .noDevice
    }
    if geteuid() == 0, let descriptor = try ask(at: path, options) {
      return KernelMount(descriptor: descriptor, path: path, byHelper: false)
    }
    let descriptor = try askHelper(at: path, options)
    return KernelMount(descriptor: descriptor, path: path, byHelper: true)
  }

  /// mount(2); nil if this root may not (EPERM), as in some containers.
  private static func ask(at path: String, _ options: Options) throws(MountError) -> Int32? {
    let descriptor = open(device, O_RDWR | O_CLOEXEC)
    guard descriptor >= 0 else { throw errno == EPERM ? .closedDevice : .noDevice }
    // rootmode is S_IFDIR in octal: what is mounted is a directory.
    let text =
      "fd=\(descriptor),rootmode=40000,user_id=\(getuid()),group_id=\(getgid()),\(options.text)"
    let flags = UInt(MS_NOSUID | MS_NODEV) | (options.isReadOnly ? UInt(MS_RDONLY) : 0)
    guard mount(name, path, MountEntry.type, flags, text) == 0 else {
      let reason = errno
      close(descriptor)
      if reason == EPERM { return nil }
      throw .system("mount on '\(path)'", reason)
    }
    return descriptor
  }

  private static func askHelper(at path: String, _ options: Options) throws(MountError) -> Int32 {
    if options.allowOther, getuid() != 0, !permitsAllowOther() {
      throw .allowOtherRefused(configuration)
    }
    var sockets: [Int32] = [-1, -1]
    let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
    guard socketpair(AF_UNIX, type, 0, &sockets) == 0 else {
      throw .system("make a socket", errno)
    }
    defer { close(sockets[0]) }
    let text =
      (options.isReadOnly ? "ro" : "rw") + ",fsname=\(name),subtype=\(name),\(options.text)"
    let outcome: Helper.Outcome
    do {
      defer { close(sockets[1]) }
      outcome = try Helper.run(["-o", text, "--", path], socket: sockets[1])
    }
    guard outcome.status == 0 else {
      throw MountError(
        .refused, "Cannot mount on '\(path)': \(Helper.program) says: \(outcome.complaint).")
    }
    let descriptor = tidemark_receive_descriptor(sockets[0])
    guard descriptor >= 0 else {
      throw MountError(
        .refused, "Cannot mount on '\(path)': \(Helper.program) handed over no connection.")
    }
    return descriptor
  }

  /// Whether fuse.conf has the line that lets ordinary users use `allow_other`.
  static func permitsAllowOther() -> Bool {
    let descriptor = open(configuration, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    return drain(descriptor).split(separator: "\n").contains { line in
      line.split(whereSeparator: \.isWhitespace) == ["user_allow_other"]
    }
  }

  /// Whether the mount is gone: ended by umount(8), or its connection aborted.
  var isGone: Bool { Self.isGone(descriptor) }

  /// Whether the mount of a connection is gone.
  static func isGone(_ descriptor: Int32) -> Bool {
    var state = pollfd(fd: descriptor, events: 0, revents: 0)
    return poll(&state, 1, 0) == 1 && state.revents & Int16(POLLERR) != 0
  }

  /// Takes the mount away, also if files in it are open; does nothing if it is gone already.
  func detach() {
    if isGone { return }
    if byHelper {
      _ = try? Helper.run(["-u", "-q", "-z", "--", path])
    } else {
      _ = umount2(path, Int32(MNT_DETACH | UMOUNT_NOFOLLOW))
    }
  }

  /// Lets the kernel read 1 MiB ahead where this process may say so, as root does; 128 KiB otherwise.
  ///
  /// The kernel lowers what is set before it has had the answer to FUSE_INIT.
  func raiseReadAhead() {
    guard let device = MountTable.top(at: path)?.device else { return }
    let file = open("/sys/class/bdi/\(device)/read_ahead_kb", O_WRONLY | O_CLOEXEC)
    guard file >= 0 else { return }
    _ = write(file, "1024", 4)
    close(file)
  }
}

/// Ends the mount of a vault; the process that serves it then ends by itself.
///
/// Also clears away a mount whose process is gone.
/// - Parameters:
///   - path: the mount point.
///   - lazily: also if files in it are open; who has them open keeps them until they close.
/// - Throws: `.notMounted` if no vault is mounted exactly there, `.inUse` if files are open.
public func unmount(_ path: String, lazily: Bool = false) throws(MountError) {
  let full = try MountPoint.resolve(path)
  guard MountTable.top(at: full)?.type == MountEntry.type else { throw .notMounted(path) }
  if geteuid() == 0 {
    let detach = lazily ? Int32(MNT_DETACH) : 0
    if umount2(full, detach | Int32(UMOUNT_NOFOLLOW)) == 0 { return }
    let reason = errno
    if reason == EBUSY { throw .inUse(path) }
    guard reason == EPERM else { throw .system("unmount '\(path)'", reason) }
  }
  let outcome = try Helper.run(["-u"] + (lazily ? ["-z"] : []) + ["--", full])
  guard outcome.status != 0 else { return }
  if outcome.complaint.hasSuffix(MountError.reason(EBUSY)) { throw .inUse(path) }
  throw MountError(
    .refused, "Cannot unmount '\(path)': \(Helper.program) says: \(outcome.complaint).")
}
