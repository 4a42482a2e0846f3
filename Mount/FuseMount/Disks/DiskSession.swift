internal import CFuse
internal import DiskServers
internal import FileIO
internal import Glibc
internal import RecoveryTree
internal import Synchronization

/// Answers the kernel for a mount of disks, first of all or as a successor.
final class DiskSession: Sendable {
  let disks: DiskServer
  let estate: Estate
  let tree: DiskTree
  let served: ServedDisks
  let faults: FaultReport
  let starts: Int
  /// Told to whoever asks how the server is.
  let warnings: [String]
  private let session: FuseSession
  private let connection: Int32
  private let stopper: Stopper
  let mending: Mending
  let holder = Atomic<Int32>(0)

  /// Opens the disks; a failure is told to the holder.
  init(_ disks: DiskServer) throws {
    self.disks = disks
    DiskServer.closeOnExec(
      DiskServer.Inherited.partner, DiskServer.Inherited.connection, DiskServer.Inherited.estate)
    ProcessSignals.ignoreEnds()
    do {
      estate = try Estate(inheriting: DiskServer.Inherited.estate)
      starts = estate.countStart()
      try Self.refuseOwnDisk(disks.backing, disks.directory.mountPoint)
      served = try disks.open()
      let settled = Mending.settle(served, estate)
      tree = try DiskTree(settled.disks, memory: estate.table)
      if starts == 1, disks.options.isFrozen { _ = try tree.freeze() }
      faults = FaultReport { logToSystem($0) }
      stopper = try Stopper()
      mending = Mending(estate, stopper, health: served.health)
      let looks = FileLooks.writable(group: disks.options.group)
      session = try FuseSession(diskOperations(), DiskBridge(tree, looks, faults, mending))
      connection = fcntl(DiskServer.Inherited.connection, F_DUPFD_CLOEXEC, 0)
      guard connection >= 0 else { throw MountError.system("copy a descriptor", errno) }
      warnings = Self.lockMemory() + settled.warnings
    } catch let error as DisksGone {
      PartnerWord.send(PartnerWord.gone + error.description, to: DiskServer.Inherited.partner)
      throw error
    } catch {
      PartnerWord.send(PartnerWord.failed + "\(error)", to: DiskServer.Inherited.partner)
      throw error
    }
  }

  /// A disk that is kept on itself would wait for itself. Looked at before anything of it is read.
  private static func refuseOwnDisk(_ backing: String, _ mountPoint: String) throws {
    // What is missing, or can't be looked at, is told of by who opens it.
    let files = (try? FileSystem.backingFiles(of: backing)) ?? []
    guard let own = files.first(where: { $0.hasPrefix(mountPoint + "/") }) else { return }
    throw DisksGone(
      "'\(backing)' lies on '\(own)', a disk that is kept there: it can't be served. Move the vault to "
        + "another file system.")
  }

  /// A process whose memory is paged out to a disk that it serves would wait for itself. An ordinary user
  /// may lock too little for it to be of use.
  private static func lockMemory() -> [String] {
    if getuid() == 0, tidemark_lock_memory() == 0 { return [] }
    return ["The server's memory is not locked: only root can. Keep swap off the disks it serves."]
  }

  /// Serves until the mount is gone, the disks are to end, or a successor is to take over.
  func run() throws {
    _ = chdir("/")
    try takeOver()
    let listener = try ControlListener(at: disks.directory) {
      [self] request throws(DiskServerError) in
      try answer(request)
    }
    let watchers = [
      NativeThread { [self] in keepHolder() }, NativeThread { [self] in watchDisks() },
      try terminator(),
    ]
    let workers = Workers(
      session: session, connection: connection, count: disks.options.workers, screen: screen)
    let ender = NativeThread { [stopper] in
      stopper.await()
      workers.end()
    }
    PartnerWord.send(
      PartnerWord.ready + disks.options.version, to: DiskServer.Inherited.partner)
    let result = workers.run(leaving: { [stopper] in stopper.stop() })
    ender.join()
    if KernelMount.isGone(connection) { estate.isEnding = true }
    listener.end()
    served.close()
    _ = watchers
    guard result >= 0 else {
      throw MountError.system("serve the disks of '\(disks.directory.path)'", -result)
    }
  }

  /// Brings libfuse to where its predecessor was, and has the kernel hand out again what that one had read
  /// and not answered.
  private func takeOver() throws(MountError) {
    guard let request = estate.initialRequest else {
      throw .system("read what was handed over", EPROTO)
    }
    session.connect(connection)
    session.process(request.bytes)
    if request.canResend, disks.options.asksAgain {
      if starts > 1 { _ = tidemark_resend(connection) }
      return
    }
    // What is read from a clone fails when the clone is closed, as it is when this process dies.
    let clone = tidemark_clone_connection(connection)
    guard clone >= 0 else { throw .system("clone a connection", errno) }
    dup2(clone, connection)
    DiskServer.closeOnExec(connection)
    close(clone)
  }

  /// Notes the number of a request that opens a file; after crashes, refuses what is handed out again.
  private var screen: Workers.Screen {
    let (connection, isWary) = (connection, disks.options.isWary)
    return { bytes in
      guard let head = RequestHead(bytes) else { return false }
      if head.operation == RequestHead.open { CurrentRequest.number = head.number }
      guard isWary, head.number & RequestHead.resent != 0 else { return false }
      return tidemark_refuse(connection, head.number, EIO) == 0
    }
  }

  func stop() { stopper.stop() }

  /// Starts another holder when there is none any more.
  private func keepHolder() {
    var socket = DiskServer.Inherited.partner
    var process: pid_t = 0
    while true {
      var byte: UInt8 = 0
      let count = read(socket, &byte, 1)
      if count > 0 || count < 0 && errno == EINTR { continue }
      close(socket)
      if process > 0 { _ = wait(for: process) }
      guard !estate.isEnding else { return }
      while true {
        guard
          let partner =
            try? disks.startPartner(as: .holder, DiskServer.Inherited.connection, estate)
        else {
          ProcessSignals.sleep(.milliseconds(500))
          continue
        }
        (process, socket) = partner
        break
      }
      holder.store(process, ordering: .relaxed)
    }
  }
}
