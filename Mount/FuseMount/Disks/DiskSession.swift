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
  let stopper: Stopper
  let mending: Mending
  let times: RequestTimes

  /// Opens the disks; a failure is told to the holder.
  init(_ disks: DiskServer) throws {
    self.disks = disks
    DiskServer.closeOnExec(
      DiskServer.Inherited.partner, DiskServer.Inherited.connection, DiskServer.Inherited.estate)
    ProcessSignals.ignoreEnds()
    if getuid() == 0 { _ = tidemark_mark_as_disk() }
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
      times = RequestTimes(disks.options.workers)
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

  /// A disk that is kept on itself, be it by way of disks that others serve, would wait for itself. Looked at
  /// before anything of it is read.
  private static func refuseOwnDisk(_ backing: String, _ mountPoint: String) throws {
    let parent = FileSystem.parent(of: mountPoint)
    let own = ((try? FileSystem.resolved(parent)) ?? parent) + "/disks/"
    var (seen, left): (Set<String>, [String]) = ([], [backing])
    while let path = left.popLast(), seen.insert(path).inserted {
      // What is missing, or can't be looked at, is told of by who opens it.
      for file in (try? FileSystem.backingFiles(of: path)) ?? [] {
        guard !file.hasPrefix(own) else {
          throw DisksGone(
            "'\(backing)' lies on '\(file)', a disk that is kept there: it can't be served. Move the vault "
              + "to another file system.")
        }
        left += vault(serving: file)
      }
    }
  }

  /// The vault that a served disk is of; none if it is not one.
  private static func vault(serving file: String) -> [String] {
    let directory = FileSystem.parent(of: FileSystem.parent(of: file))
    guard let run = try? RunDirectory(directory), run.mountPoint == FileSystem.parent(of: file),
      let process = run.processes.first
    else { return [] }
    let words = RunningProcess.arguments(of: process)
    return zip(words, words.dropFirst()).filter { $0.0 == "--vault" }.map(\.1)
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
    let watchers: [NativeThread]
    do {
      try takeOver()
      watchers = [
        NativeThread { [self] in keepHolder() }, NativeThread { [self] in watchDisks() },
        try terminator(),
      ]
    } catch {
      PartnerWord.send(PartnerWord.failed + "\(error)", to: DiskServer.Inherited.partner)
      throw error
    }
    let listener = ControlListener(
      at: disks.directory, isShared: disks.options.group != nil
    ) { [self] request throws(DiskServerError) in
      try answer(request)
    }
    let workers = Workers(
      session: session, connection: connection, count: disks.options.workers, screen: screen,
      times: times)
    let ender = NativeThread { [stopper, served] in
      stopper.await()
      // First, for it may take a while, and whoever uses the disks is served meanwhile.
      listener.end()
      served.flattening?.end()
      workers.end()
    }
    PartnerWord.send(
      PartnerWord.ready + disks.options.version, to: DiskServer.Inherited.partner)
    let result = workers.run(leaving: { [stopper] in stopper.stop() })
    ender.join()
    if KernelMount.isGone(connection) { estate.isEnding = true }
    // A successor would be told of no error any more.
    do { try served.close() } catch { mending.noteLoss() }
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
      guard starts > 1, tidemark_resend(connection) != 0 else { return }
      throw .system("have requests handed out again", errno)
    }
    // What is read from a clone fails when the clone is closed, as it is when this process dies.
    let clone = tidemark_clone_connection(connection)
    guard clone >= 0 else { throw .system("clone a connection", errno) }
    dup2(clone, connection)
    DiskServer.closeOnExec(connection)
    close(clone)
  }

  /// Notes the number of a request that opens a file; after crashes, refuses what is handed out again, but for
  /// the end of a use.
  private var screen: Workers.Screen {
    let (connection, isWary, tree) = (connection, disks.options.isWary, tree)
    return { bytes in
      guard let head = RequestHead(bytes) else { return false }
      if head.operation == RequestHead.open { CurrentRequest.number = head.number }
      guard isWary, head.number & RequestHead.resent != 0, head.operation != RequestHead.release
      else { return false }
      if head.operation == RequestHead.open {
        tree.withdraw(request: head.number & ~RequestHead.resent)
      }
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
      (process, socket) = newHolder()
    }
  }

  private func newHolder() -> (pid_t, Int32) {
    var hasFailed = false
    while true {
      do {
        return try disks.startPartner(as: .holder, DiskServer.Inherited.connection, estate)
      } catch {
        let text =
          "Nobody else keeps the disks of '\(disks.directory.path)' any more: if their server ends now, "
        if !hasFailed { logToSystem(text + "they are gone. It is tried again. \(error)") }
        hasFailed = true
        ProcessSignals.sleep(.milliseconds(500))
      }
    }
  }
}
