internal import DiskServers
internal import FileIO
internal import Glibc
internal import RecoveryTree

// What ends a mount of disks without being asked at its socket.
extension DiskSession {
  /// Between two looks whether the disks are still there, and two tries to end.
  private static let pause = Duration.seconds(1)
  /// Looks one behind the other that have to find nobody who uses what a predecessor left open.
  private static let neededLooks = 10

  /// Ends the mount if the disks are removed from under it; whoever has them open loses them. Also has the log
  /// tell of what an operator should know, once, and settles who still has a disk open.
  func watchDisks() {
    // Without numbers, which change.
    var told: Set<String> = []
    var quietLooks = 0
    while !served.health().isRemoved {
      let warnings = served.usage().warnings
      for warning in warnings where !told.contains(warning.filter(\.isLetter)) {
        logToSystem("'\(disks.directory.path)': \(warning)")
      }
      told = Set(warnings.map { $0.filter(\.isLetter) })
      settleInherited(&quietLooks)
      ProcessSignals.sleep(Self.pause)
    }
    logToSystem("The disks of '\(disks.directory.path)' were removed: they are served no more.")
    estate.isEnding = true
    try? unmount(disks.directory.mountPoint, lazily: true)
    stop()
  }

  /// Gives up what was open in a predecessor's time if the kernel says that nobody uses the mount: the word of
  /// that was lost with the predecessor. Only root is told.
  ///
  /// Of a mount that was detached, or is of a namespace without processes, the kernel's tables tell nothing. Who has
  /// a file open by such a one is known by what he reads and writes, for which there is some time.
  private func settleInherited(_ quietLooks: inout Int) {
    guard !tree.inherited.isEmpty, getuid() == 0, !estate.isEnding,
      let device = MountTable.top(at: disks.directory.mountPoint)?.device,
      MountTable.isUnused(device)
    else {
      quietLooks = 0
      return
    }
    quietLooks += 1
    guard quietLooks >= Self.neededLooks else { return }
    for handle in tree.inherited { tree.close(handle) }
  }

  /// A thread that ends the mount on SIGTERM once nobody has the disks open. All that was written before the
  /// signal is durable at once: whoever still uses the disks may be killed before it lets go of them.
  func terminator() throws(MountError) -> NativeThread {
    let signal = try Stopper()
    _ = Glibc.signal(SIGTERM, SIG_DFL)
    try signal.catchSignals()
    return NativeThread { [self] in
      signal.await()
      _ = try? answer(.flush)
      while true {
        do throws(DiskServerError) {
          _ = try answer(.quit(seconds: 86_400, force: false))
          return
        } catch { ProcessSignals.sleep(Self.pause) }
      }
    }
  }
}
