internal import CFuse
internal import DiskServers
internal import FileIO
internal import Glibc

/// Keeps the connection to the kernel, and has a server at all times.
final class DiskHolder {
  private let disks: DiskServer
  private let estate: Estate
  private var readiness: Readiness?
  /// Starts in a row that came to nothing, and since when.
  private var failingSince: ContinuousClock.Instant?
  private var reason = "The disk server ended without a word."
  /// Servers in a row that died of themselves, and not because somebody killed them.
  private var crashes = 0
  /// Servers in a row that lived for some seconds only.
  private var quickEnds = 0
  /// Whether the server at hand has served.
  private var hasServed = false

  /// Whoever can't be started for so long is given up, and the disks with it.
  private static let patience = Duration.seconds(60)
  /// After so many crashes in a row the requests that the kernel hands out again are refused: one of them
  /// may be what every server dies of.
  private static let crashLimit = 3
  /// Who has lived for so long does not die of what its predecessors died of.
  private static let healthyTime = Duration.seconds(600)
  /// Who has not lived for so long makes the next one wait a little longer, up to the limits: for one that was
  /// killed, and one that died of itself.
  private static let quickTime = Duration.seconds(10)
  private static let pauseLimits = (killed: 500, died: 10_000)

  /// What became of a server.
  private enum End { case died, gone, leave }

  init(_ disks: DiskServer) throws(MountError) {
    self.disks = disks
    if getuid() == 0 {
      _ = tidemark_mark_as_disk()
      _ = tidemark_lock_memory()
    }
    DiskServer.closeOnExec(DiskServer.Inherited.connection, DiskServer.Inherited.estate)
    estate = try Estate(inheriting: DiskServer.Inherited.estate)
    readiness = Readiness.inherited()
  }

  /// Returns when the mount has ended, or another holder takes over.
  func run() throws {
    ProcessSignals.ignoreEnds()
    _ = chdir("/")
    if readiness == nil {
      // Started by a server, which is there.
      DiskServer.closeOnExec(DiskServer.Inherited.partner)
      if listen(to: DiskServer.Inherited.partner) == .leave { return }
    }
    while !estate.isEnding, !KernelMount.isGone(DiskServer.Inherited.connection) {
      switch try serveOnce() {
      case .leave: return
      case .gone: return giveUp()
      case .died: break
      }
      if let failingSince, .now - failingSince > Self.patience { return giveUp() }
      if failingSince != nil {
        // At the start somebody waits for the reason.
        if readiness != nil { return giveUp() }
        ProcessSignals.sleep(.milliseconds(100))
      }
    }
    try? DiskServer.cleanUp(disks.directory)
  }

  /// Starts a server and stays until it has ended.
  private func serveOnce() throws -> End {
    let start = ContinuousClock.now
    let more = crashes >= Self.crashLimit ? ["--wary"] : []
    let partner: (process: pid_t, socket: Int32)
    do throws(MountError) {
      partner = try disks.startPartner(
        as: .server, DiskServer.Inherited.connection, estate, more)
    } catch {
      noteFailure("\(error)")
      return .died
    }
    let end = listen(to: partner.socket)
    guard end != .leave else { return .leave }
    let status = wait(for: partner.process)
    let isCrash = [SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV].contains(status - 128)
    let lifetime = ContinuousClock.now - start
    crashes = isCrash ? (lifetime > Self.healthyTime ? 1 : crashes + 1) : 0
    quickEnds = lifetime < Self.quickTime ? quickEnds + 1 : 0
    if !hasServed { noteFailure(reason) }
    // A hand-over is no failure.
    if end == .died, hasServed, status != 0 { pause(wasKilled: status == 128 + SIGKILL) }
    return end
  }

  /// Lets the more time pass the more servers in a row have lived for some seconds only.
  private func pause(wasKilled: Bool) {
    let limit = wasKilled ? Self.pauseLimits.killed : Self.pauseLimits.died
    ProcessSignals.sleep(.milliseconds(min(limit, 10 * quickEnds * quickEnds)))
  }

  /// Hears what the server says until it has ended.
  private func listen(to socket: Int32) -> End {
    var stream = ByteStream(adopting: socket, name: "the disk server")
    hasServed = false
    while true {
      guard let line = try? stream.line(limit: 1 << 16, until: .now + .seconds(86_400 * 365)) else {
        return .died
      }
      let text = String(decoding: line, as: UTF8.self)
      if text.hasPrefix(PartnerWord.ready) {
        hasServed = true
        failingSince = nil
        readiness?.succeed()
        readiness = nil
        // One of another release: it starts a holder of its own once this one is gone.
        if text != PartnerWord.ready + disks.options.version { return .leave }
      } else if text.hasPrefix(PartnerWord.failed) {
        reason = String(text.dropFirst(PartnerWord.failed.count))
      } else if text.hasPrefix(PartnerWord.gone) {
        reason = String(text.dropFirst(PartnerWord.gone.count))
        return .gone
      }
    }
  }

  private func noteFailure(_ reason: String) {
    self.reason = reason
    failingSince = failingSince ?? .now
  }

  /// Takes the disks away from whoever uses them: they can't be served any more.
  private func giveUp() {
    estate.isEnding = true
    // Nothing answers there any more, so nobody, this process included, may wait for an answer.
    close(DiskServer.Inherited.connection)
    try? DiskServer.cleanUp(disks.directory)
    if let readiness { return readiness.fail(reason) }
    disks.directory.keep(reason: reason)
    logToSystem("The disks of '\(disks.directory.path)' are served no more. \(reason)")
  }
}
