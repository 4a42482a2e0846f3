public import Bytes
public import FileIO
internal import Glibc

/// Where the disk server of a branch has its mount, its socket, and what it needs to be found again:
/// `<base>/<vault id>/<branch id>/`.
///
/// | name | what |
/// |---|---|
/// | `disks/` | the mount: `disk0.raw`, `disk0.part1.raw`, … |
/// | `control` | the socket that the server listens at |
/// | `lock` | flock(2): held by who starts a server or cleans up after one |
///
/// Nothing in it is needed after the host has been started again.
public struct RunDirectory: Hashable, Sendable {
  /// The directory.
  public let path: String

  /// The directory of a branch, in what `base(environment:user:)` gives; nothing is made.
  ///
  /// - Throws: `.directory` if the path does not begin with a slash.
  public init(vault: Identifier, branch: Identifier, in base: String) throws(DiskServerError) {
    try self.init("\(base)/\(vault)/\(branch)")
  }

  /// The directory at a path.
  public init(_ path: String) throws(DiskServerError) {
    self.path = path
    guard path.hasPrefix("/") else {
      throw DiskServerError(
        .directory,
        "'\(path)' can't be a run directory: its processes need a path that begins with '/'.")
    }
  }

  /// The variable that moves all run directories.
  public static let variable = "TIDEMARK_RUNTIME_DIRECTORY"

  /// Where run directories lie: as `TIDEMARK_RUNTIME_DIRECTORY` says; else `/run/tidemark` for root, and for
  /// others `tidemark` in `XDG_RUNTIME_DIR`, or a directory of `/tmp` with the user's number.
  public static func base(
    environment: (String) -> String?, user: UInt32 = FileSystem.userIdentifier
  ) -> String {
    if let path = environment(variable), path.hasPrefix("/") { return path }
    if user == 0 { return "/run/tidemark" }
    if let path = environment("XDG_RUNTIME_DIR"), path.hasPrefix("/") { return path + "/tidemark" }
    return "/tmp/tidemark-\(user)"
  }

  /// `base(environment:user:)` with this process's environment.
  public static var usualBase: String {
    base(environment: { name in getenv(name).map { String(cString: $0) } })
  }

  /// Why the last server of the directory gave its disks up; beside the directory, which goes with it.
  private var reasonFile: String { path + ".reason" }
  private static let reasonLimit = 4096

  /// Why the last server gave its disks up by itself; nil if it did not, or one was started since.
  public var reason: String? {
    guard (try? FileSystem.ownerOfOwnDirectory(FileSystem.parent(of: path))) != nil,
      let file = try? File(reasonFile, .reading),
      let bytes = try? file.read(at: 0, count: Self.reasonLimit), !bytes.isEmpty
    else { return nil }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// Keeps why disks were given up, for as long as the host runs; nil once they are served again. What can't
  /// be kept is told nowhere but in the log.
  public func keep(reason: String?) {
    try? FileSystem.system.remove(reasonFile)
    guard let reason else { return }
    try? FileSystem.system.makeDirectory(FileSystem.parent(of: path), permissions: 0o711)
    _ = try? File(reasonFile, .creating(permissions: 0o600))
      .write(Array(reason.utf8.prefix(Self.reasonLimit)), at: 0)
  }

  /// Where the disks are mounted.
  public var mountPoint: String { path + "/disks" }
  /// The socket that the server listens at.
  public var control: String { path + "/control" }
  /// What who starts a server or cleans up after one holds the lock of (flock(2)).
  public var lockFile: String { path + "/lock" }

  /// Who the directory belongs to, and so who serves it; nil if it is not there, or not one that this user can
  /// rely on: a directory, no link, of this user or root (of anybody, for root), which nobody else writes to.
  var owner: UInt32? {
    guard let owner = try? FileSystem.ownerOfOwnDirectory(path),
      (try? FileSystem.ownerOfOwnDirectory(FileSystem.parent(of: path))) != nil
    else { return nil }
    return owner
  }

  /// Makes the directory, which only its owner may enter (and others may pass through if `isShared`), and
  /// those above it.
  ///
  /// - Throws: `.directory` if it can't be made, or is there and belongs to another user, who could put another
  ///   one in its place, or can be written to by others.
  public func make(isShared: Bool) throws(DiskServerError) {
    let vault = FileSystem.parent(of: path)
    do throws(IOError) {
      for directory in [FileSystem.parent(of: vault), vault] {
        try Self.make(directory, permissions: 0o711)
      }
      try Self.make(path, permissions: isShared ? 0o711 : 0o700)
      if !FileSystem.system.exists(mountPoint) { try Self.make(mountPoint, permissions: 0o700) }
    } catch { throw DiskServerError(.directory, error) }
  }

  private static func make(_ path: String, permissions: UInt32) throws(IOError) {
    do throws(IOError) {
      try FileSystem.system.makeDirectory(path, permissions: permissions)
    } catch {
      // Not a directory that somebody else has put there beforehand.
      guard error.isPresent else { throw error }
      _ = try FileSystem.ownerOfOwnDirectory(path)
    }
  }

  /// The lock of the directory; nil if another process has it, or has removed it just now.
  public func lock(patience: Int = 0) -> FileLock? {
    guard let lock = try? FileLock(lockFile, patience: patience), !lock.isRemoved else {
      return nil
    }
    return lock
  }

  /// Removes the directory and what lies in it; leaves it if something is mounted there.
  public func remove() {
    let system = FileSystem.system
    guard !isMounted else { return }
    try? system.removeDirectory(mountPoint)
    for name in [control, lockFile] { try? system.remove(name) }
    try? system.removeDirectory(path)
    try? system.removeDirectory(FileSystem.parent(of: path))
  }

  /// Whether something is mounted there; the mount itself is not asked, so nobody need serve it.
  public var isMounted: Bool {
    let path = (try? FileSystem.resolved(path)) ?? path
    return ((try? FileSystem.mounts()) ?? []).contains { $0.point == path + "/disks" }
  }

  /// The processes that serve it: the server, and the holder of its connection. Not those that start one or
  /// clean up.
  public var processes: [Int32] {
    owner.map { RunningProcess.all(of: $0, where: isServing) } ?? []
  }

  /// The process that answers the kernel at present; nil while there is none.
  public var server: Int32? {
    processes.first { RunningProcess.arguments(of: $0).suffix(2) != ["--role", "holder"] }
  }

  /// Kills them (SIGKILL) and waits until they are gone, at most a second: of server and holder, who is left
  /// may start the other.
  public func killProcesses() {
    guard let owner else { return }
    for _ in 0..<100 {
      let processes = self.processes
      guard !processes.isEmpty else { return }
      for process in processes { RunningProcess.kill(process, of: owner, where: isServing) }
      ProcessSignals.sleep(.milliseconds(10))
    }
  }

  /// Whether a command line is that of a server or a holder of this directory.
  private func isServing(_ words: [String]) -> Bool {
    func has(_ option: String, _ values: String...) -> Bool {
      zip(words, words.dropFirst()).contains { $0 == option && values.contains($1) }
    }
    return words.dropFirst().first == "disk-server" && has("--run-directory", path)
      && has("--role", "server", "holder")
  }
}
