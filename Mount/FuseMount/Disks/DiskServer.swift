public import Bytes
public import DiskServers
internal import FileIO
internal import Glibc
internal import RecoveryTree

/// The disks of a branch as they are served, and what is known of them.
public struct ServedDisks: Sendable {
  /// What the disks take, and may take.
  public struct Usage: Sendable {
    /// Bytes that they take.
    public var used: UInt64?
    /// Bytes that they may take; nil for any number.
    public var budget: UInt64?
    /// What an operator should know of, such as a budget nearly used up.
    public var warnings: [String]

    /// A usage of these numbers.
    public init(used: UInt64? = nil, budget: UInt64? = nil, warnings: [String] = []) {
      (self.used, self.budget, self.warnings) = (used, budget, warnings)
    }
  }

  /// How the disks are, besides what they hold.
  public struct Health: Sendable {
    /// Whether they were removed, so that nothing that is written will be found again.
    public var isRemoved = false
    /// Whether they take nothing more until they are opened again, as after an fdatasync(2) that failed.
    public var hasEnded = false
    /// Whether opening them again writes once more what may not be durable. Of plain files nobody has those bytes
    /// any more, and the kernel tells but once that it could not write them.
    public var canMend = true
    /// Writes that they have taken, in their whole life.
    public var writes: UInt64 = 0

    /// Disks that are as they should be.
    public init() {}
  }

  /// How disks are copied to plain files while they are used.
  public struct Flattening: Sendable {
    /// Begins it, unless it runs or was done.
    public var begin: @Sendable () -> Void
    /// Gives it up, unless it was done.
    public var cancel: @Sendable () -> Void
    /// Ends it for this process, and begins it no more; whoever opens the disks next goes on.
    public var end: @Sendable () -> Void
    /// Tells how far it is.
    public var state: @Sendable () -> DiskServerStatus.Copy

    /// A copy that is told so.
    public init(
      begin: @escaping @Sendable () -> Void, cancel: @escaping @Sendable () -> Void,
      end: @escaping @Sendable () -> Void, state: @escaping @Sendable () -> DiskServerStatus.Copy
    ) {
      (self.begin, self.cancel, self.end, self.state) = (begin, cancel, end, state)
    }
  }

  /// The disks by number.
  public var disks: [DiskNumber: any WritableDisk]
  /// Tells the usage.
  public var usage: @Sendable () -> Usage = { Usage() }
  /// Tells how they are.
  public var health: @Sendable () -> Health = { Health() }
  /// Copies the disks to plain files; nil if that can't be done.
  public var flattening: Flattening?
  /// Ends the use of the disks, which are flushed; whoever opens them next finds all as it should be. Throws if
  /// they could not be made durable.
  public var close: @Sendable () throws -> Void = {}

  /// Disks that are always well.
  public init(_ disks: [DiskNumber: any WritableDisk]) { self.disks = disks }
}

/// The disks of a branch, served as files that outlive the process that serves them.
///
/// There are two processes: the *server* answers the kernel; the *holder* keeps the connection to the kernel
/// open, with what is needed to go on from there (`Estate`). Of the two the survivor starts the other. When
/// a server has died, the kernel still has the requests that it was working on, and hands them out again to
/// the next one (FUSE_NOTIFY_RESEND), so whoever uses the disks only waits. That is sound because every
/// request may be carried out twice: who waits for an answer has not gone on, and the next server begins
/// only when nothing of the last one runs any more. Kernels before 6.9 can't hand them out again: there
/// those requests fail with ECONNABORTED as soon as the server has died, and later ones are answered.
///
/// One window is left at a kill. While the kernel copies a request to or from the server's memory it looks
/// each page up, and if the page is not there just then, a process that is being killed can't get it any more:
/// the request fails with EIO instead of being kept. The memory for requests is therefore there from the
/// start, locked, shared and in small pages (`RequestMemory`), so that only the kernel's moving that very page
/// at that moment, to make room in one piece or for another NUMA node, is left.
///
/// When the disks can't be made durable, they have to be opened again before they take anything more, which
/// writes what is not known to be durable once more. So the server leaves what it can't do any more, that flush
/// among it, to a successor, who is handed it again: if it finds all that was answered, and could make it
/// durable, nobody notices but by the wait. If it does not find all, somebody relies on what is not there:
/// then everything can be read, and every write and flush is EIO until the mount is made anew. And if no flush has
/// succeeded since the last time, no successor is called, and writes are EIO too. Both stand in the status.
/// Disks that are plain files are not mended so, for what was lost is nowhere else: a flush that failed is EIO, and
/// so is every write and flush behind it, whichever server answers, until the mount is made anew.
///
/// The server ends with the mount: when told to by its socket; on SIGTERM, as at a shutdown of the host, after
/// making all durable at once, as soon as nobody has the disks open, who are served until then; and within
/// seconds when the disks are removed from under it, whoever has them open.
///
/// A third process, the *starter*, makes the mount and ends once the disks answer. All three run the same
/// program with the same arguments, but for `--role`.
public struct DiskServer: Sendable {
  /// What a process is for a mount.
  public enum Role: String, Sendable, CaseIterable {
    /// Makes the mount, starts the holder, and ends.
    case starter
    /// Keeps the connection.
    case holder
    /// Answers the kernel.
    case server
  }

  /// How the disks are served.
  public struct Options: Sendable {
    /// A group whose members may use the disks; nil for this user alone.
    public var group: UInt32?
    /// Whether writes are refused until the disks are thawed.
    public var isFrozen = false
    /// The release of the program: a holder of another one than its server's is replaced.
    public var version = ""
    /// Threads that answer requests at the same time.
    public var workers = MountOptions.usualWorkers
    /// Whether requests that the kernel hands out again are refused: after crashes, one of them may be what
    /// every server dies of.
    public var isWary = false
    /// Whether the kernel is asked to hand out again what a server that died was working on; else that
    /// fails, as on kernels that can't do it.
    public var asksAgain = true

    /// The usual options.
    public init() {}
  }

  let directory: RunDirectory
  let options: Options
  /// Of the command line, without the program and without role and wariness.
  let arguments: [String]
  let backing: String
  let open: @Sendable () throws -> ServedDisks

  /// A server of what `open` opens: it is called once, in the server's process. Its failure is told to who
  /// started the server; after `DisksGone` no other attempt is made. `backing` is a path on the file system
  /// that keeps their bytes.
  ///
  /// The arguments are those with which this program is the same server again, its name left out.
  public init(
    in directory: RunDirectory, _ options: Options = Options(), arguments: [String],
    backing: String, open: @escaping @Sendable () throws -> ServedDisks
  ) {
    (self.directory, self.options) = (directory, options)
    (self.arguments, self.backing, self.open) = (arguments, backing, open)
  }

  /// Does what the role is for. As a starter it returns once the disks answer, else only at the end.
  ///
  /// - Throws: why the disks can't be served.
  public func run(as role: Role) throws {
    switch role {
    case .starter: try DiskStarter(self).start()
    case .holder: try DiskHolder(self).run()
    case .server: try DiskSession(self).run()
    }
  }

  /// Takes away the mount of a server that is gone, and its directory. Nothing happens if somebody serves there,
  /// besides this process, or is about to.
  public static func cleanUp(_ directory: RunDirectory) throws(MountError) {
    guard FileSystem.system.exists(directory.path), let lock = directory.lock() else { return }
    defer { lock.release() }
    guard directory.processes.allSatisfy({ $0 == getpid() }) else { return }
    if directory.isMounted { try unmount(directory.mountPoint, lazily: true) }
    directory.remove()
  }
}

/// A failure to open disks that no other attempt will mend, as when they have been removed.
public struct DisksGone: Error, CustomStringConvertible {
  /// What is gone.
  public let description: String

  /// Disks that are gone, in a sentence.
  public init(_ description: String) { self.description = description }
}

extension DiskServer {
  /// The numbers of the descriptors that a holder and a server are given.
  enum Inherited {
    /// A socket to each other: it ends when the other has.
    static let partner: Int32 = 3
    /// The connection to the kernel.
    static let connection: Int32 = 4
    /// The estate.
    static let estate: Int32 = 5
  }

  /// Starts the other one of holder and server; gives its process and the socket to it.
  func startPartner(
    as role: Role, _ connection: Int32, _ estate: Estate, _ more: [String] = []
  ) throws(MountError) -> (process: pid_t, socket: Int32) {
    var ends: [Int32] = [-1, -1]
    let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
    guard socketpair(AF_UNIX, type, 0, &ends) == 0 else {
      throw .system("make a socket", errno)
    }
    let null = Glibc.open("/dev/null", O_RDWR | O_CLOEXEC)
    defer {
      close(ends[1])
      close(null)
    }
    let program = RunningProcess.program
    do throws(MountError) {
      let process = try spawn(
        program, [program] + words(for: role) + more, inheritedEnvironment(without: ""),
        (0...2).map { (null, as: $0) } + [
          (ends[1], as: Inherited.partner), (connection, as: Inherited.connection),
          (estate.descriptor, as: Inherited.estate),
        ], detached: true)
      return (process, ends[0])
    } catch {
      close(ends[0])
      throw error
    }
  }

  /// The command line that makes a process of this role.
  func words(for role: Role) -> [String] { arguments + ["--role", role.rawValue] }

  /// Keeps descriptors that were inherited from being handed on by themselves.
  static func closeOnExec(_ descriptors: Int32...) {
    for descriptor in descriptors { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
  }
}

/// What a server tells its holder: one line each.
enum PartnerWord {
  /// The disks answer; the server's release follows.
  static let ready = "ready "
  /// They can't be served now; the reason follows.
  static let failed = "failed "
  /// They are gone; the reason follows.
  static let gone = "gone "

  /// Sends a line; a partner that is gone is noticed elsewhere.
  static func send(_ text: String, to socket: Int32) {
    let line = text.map { $0.isNewline ? " " : $0 } + ["\n"]
    let bytes = Array(String(line).utf8)
    _ = Glibc.send(socket, bytes, bytes.count, Int32(MSG_NOSIGNAL))
  }
}
