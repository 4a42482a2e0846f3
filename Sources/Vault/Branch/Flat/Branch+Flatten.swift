internal import Dispatch
internal import FileIO
internal import Synchronization

/// How the copy of a branch to plain files is told to stop, and tells how far it is. Safe from any thread.
public final class FlattenControl: Sendable {
  private enum Order { case go, pause, cancel }

  private let order = Mutex(Order.go)
  private let progress = Mutex((done: UInt64(0), total: UInt64(0)))
  private let wake = DispatchSemaphore(value: 0)

  /// Nothing is copied yet.
  public init() {}

  /// Bytes of the disks that were gone through, and all of them.
  public var bytes: (done: UInt64, total: UInt64) { progress.withLock { $0 } }

  /// Gives the copy up: what was copied is removed. Without effect once the branch is its plain files.
  public func cancel() { tell(.cancel) }

  /// Stops for this process: whoever opens the branch next can go on.
  public func pause() { tell(.pause) }

  private func tell(_ new: Order) {
    // What is given up is not gone on with by anybody, whoever else wants this process to stop.
    order.withLock { if $0 != .cancel { $0 = new } }
    wake.signal()
  }

  func check() throws(VaultError) {
    guard order.withLock({ $0 }) != .go else { return }
    throw VaultError(.cancelled, "The copy to plain files was stopped.")
  }

  var wasPaused: Bool { order.withLock { $0 } == .pause }

  func note(_ new: (done: UInt64, total: UInt64)) { progress.withLock { $0 = new } }

  /// Waits so long, or until it is told to stop.
  func rest(_ duration: Duration) {
    let (seconds, attoseconds) = duration.components
    let nanoseconds = Int(seconds) * 1_000_000_000 + Int(attoseconds / 1_000_000_000)
    _ = wake.wait(timeout: .now() + .nanoseconds(nanoseconds))
  }
}

extension Branch {
  /// Whether its disks are plain files, and no longer records above a machine's log.
  public var isFlat: Bool { log.views.flat != nil }

  /// Whether a copy to plain files was begun, and neither ended nor given up.
  public var wantsFlat: Bool { !isFlat && log.place.wantsFlat }

  /// Copies the disks to plain files while they are used, and lets them be those from then on. Blocks until
  /// then; nothing happens if they are plain files already.
  ///
  /// No write is lost, whatever ends when: see `Flattening`. A copy that broke off goes on where it was. Readers
  /// and writers go first; only towards the end, where more is written than can be copied, writers wait. After a
  /// failure, as for want of room, what was copied is removed, and the branch goes on as it was.
  /// - Throws: `.full` if the vault has not the room; `.cancelled` if `control` was told to stop; `.damaged`
  ///   where the branch can't be read.
  public func flatten(_ control: FlattenControl) throws(VaultError) {
    guard !isFlat else { return }
    do throws(VaultError) {
      try checkRoomToFlatten()
      let flattening = try Flattening(log, keeper, queue, flusher)
      defer { log.allowance.release() }
      while try step(flattening, control) {}
    } catch {
      // What can't be told now is found out by whoever opens the branch next.
      guard !isFlat, !control.wasPaused, !hasEnded else { throw error }
      try? log.place.removeFlat(description.disks)
      throw error
    }
    removeFlattenedLog()
  }

  /// Removes the log of a branch that was flattened, once nobody reads it any more.
  ///
  /// - Returns: whether it is gone. It is tried again when the branch is opened.
  @discardableResult
  public func removeFlattenedLog() -> Bool {
    (try? keeper.removeFlattenedLog()) ?? false
  }

  /// Gives way to readers and writers: rests as long as it has worked, where somebody else did something.
  private func step(
    _ flattening: Flattening, _ control: FlattenControl
  ) throws(VaultError) -> Bool {
    try control.check()
    let (start, before) = (ContinuousClock.now, log.activity)
    let goesOn = try flattening.step()
    control.note(flattening.progress)
    if goesOn, !log.allowance.isHeld, log.activity != before {
      control.rest(min(ContinuousClock.now - start, .milliseconds(100)))
    }
    return goesOn
  }

  /// Refuses a copy that would fill the vault; one that broke off has a part of its room already.
  private func checkRoomToFlatten() throws(VaultError) {
    let place = log.place
    let space = try translated { () throws(IOError) in
      try place.system.space(at: place.directory)
    }
    let reserve = Vault.reserve(of: space.total)
    var need = try bytesToFlatten(upTo: space.free)
    for disk in description.disks {
      let held = (try? place.system.status(place.flatPath(disk.number)).allocated) ?? 0
      need -= min(need, held)
    }
    guard need + reserve > space.free else { return }
    throw VaultError(
      .full,
      "Branch '\(description.name)' can't be copied to plain files: that takes \(need) bytes, and of "
        + "\(space.free) bytes free in '\(place.directory)' \(reserve) are kept in reserve. Make room on its "
        + "file system, then run this again.")
  }

  /// Bytes that hold data, told from the index; those of whole disks where these are few.
  private func bytesToFlatten(upTo enough: UInt64) throws(VaultError) -> UInt64 {
    let all = description.disks.reduce(0) { $0 + $1.size }
    guard all > enough / 2 else { return all }
    var sum: UInt64 = 0
    do {
      for disk in disks {
        var position: UInt64 = 0
        while let data = try disk.nextData(from: position), data < disk.size {
          position = try disk.nextHole(from: data)
          sum += position - data
        }
      }
    } catch {
      throw (error as? VaultError) ?? VaultError(.io, "\(error)")
    }
    return sum
  }
}
