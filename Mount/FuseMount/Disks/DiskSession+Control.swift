internal import DiskServers
internal import FileIO
internal import Glibc
internal import RecoveryTree
internal import Synchronization

extension DiskSession {
  /// Milliseconds between two looks whether the disks are still in use.
  private static let pause = Duration.milliseconds(10)

  /// Does what a message asks for.
  func answer(_ request: DiskRequest) throws(DiskServerError) -> DiskServerStatus? {
    switch request {
    case .status: return status
    case .flush: try flush()
    case .freeze(let seconds): try freeze(within: seconds)
    case .thaw: tree.thaw()
    case .flatten: try flattening().begin()
    case .cancelFlatten: try flattening().cancel()
    case .quit(let seconds, let force): try quit(within: seconds, force: force)
    case .handOver: try handOver()
    }
    return nil
  }

  /// What a successor could not make durable any more has to be so before it is called.
  private func handOver() throws(DiskServerError) {
    if !served.health().canMend, estate.owedWrites == nil { try flush() }
    stop()
  }

  private func flattening() throws(DiskServerError) -> ServedDisks.Flattening {
    guard let flattening = served.flattening else {
      throw DiskServerError(.failed, "These disks can't be copied to plain files.")
    }
    return flattening
  }

  private var status: DiskServerStatus {
    let usage = served.usage()
    let own = RunningProcess.own
    var status = DiskServerStatus(
      server: own, holder: disks.directory.processes.first { $0 != own },
      version: disks.options.version, starts: starts,
      files: tree.uses().map {
        DiskServerStatus.File(name: $0.name, readers: $0.readers, writers: $0.writers)
      },
      isFrozen: tree.isFrozen, usedBytes: usage.used, budgetBytes: usage.budget,
      warnings: warnings + usage.warnings, fault: faults.last, oldestSeconds: times.oldest)
    status.copy = served.flattening?.state()
    return status
  }

  private func flush() throws(DiskServerError) {
    do throws(TreeError) {
      try tree.flush()
      mending.noteFlush()
    } catch {
      faults.note(error)
      _ = mending.leavesToSuccessor()
      throw DiskServerError(.failed, error.message)
    }
  }

  private func freeze(within seconds: Double) throws(DiskServerError) {
    let deadline = ContinuousClock.now + .seconds(seconds)
    do throws(TreeError) {
      while try !tree.freeze() {
        // Who asks is not told of this: the successor is asked again.
        if stopper.isStopped {
          throw TreeError(code: EAGAIN, message: "The disk server is leaving.")
        }
        guard ContinuousClock.now < deadline else {
          let names = tree.uses().filter { $0.readers + $0.writers > 0 }.map { "'\($0.name)'" }
          throw TreeError(
            code: 0,
            message: "Somebody still has \(names.joined(separator: ", ")) open. See who with: "
              + "fuser -vm \(disks.directory.mountPoint)")
        }
        ProcessSignals.sleep(Self.pause)
      }
    } catch {
      // Where that was for want of an fdatasync, no other one will tell of it.
      if served.health().hasEnded { mending.noteLoss() }
      let code: DiskServerError.Code =
        error.code == 0 ? .inUse : error.code == EAGAIN ? .notRunning : .failed
      throw DiskServerError(code, error.message)
    }
  }

  /// Ends the mount if all that is known of its use is of a predecessor's time, and the kernel says that nobody
  /// uses it. Root is told so otherwise.
  private func endsUnused() -> Bool {
    let uses = tree.uses().reduce(0) { $0 + $1.readers + $1.writers }
    guard getuid() != 0, uses == tree.inherited.count, (try? flush()) != nil,
      (try? unmount(disks.directory.mountPoint)) != nil
    else { return false }
    estate.isEnding = true
    stop()
    return true
  }

  /// A frozen disk that nobody has open stays so until the mount is gone.
  private func quit(within seconds: Double, force: Bool) throws(DiskServerError) {
    let wasFrozen = tree.isFrozen
    do throws(DiskServerError) { try freeze(within: seconds) } catch {
      if !force, endsUnused() { return }
      guard force else { throw error }
      try? flush()
    }
    estate.isEnding = true
    do throws(MountError) { try unmount(disks.directory.mountPoint, lazily: true) } catch {
      guard error.code == .notMounted else {
        estate.isEnding = false
        if !wasFrozen { tree.thaw() }
        throw DiskServerError(.failed, error.message)
      }
    }
    stop()
  }
}
