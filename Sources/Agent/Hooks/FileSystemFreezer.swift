internal import Dispatch
internal import FileIO
internal import Synchronization

/// Freezes mounted file systems of this machine.
final class FileSystemFreezer: Freezer {
  /// A mount point. The kernel can't be told to stop freezing, so that is done on another thread.
  private final class Mounted: Sendable {
    let path: String
    private let system: FreezableFileSystem
    private let outcome = Mutex<Result<Void, IOError>?>(nil)
    private let work = DispatchGroup()

    init(_ path: String) throws(IOError) {
      self.path = path
      system = try FreezableFileSystem(path)
    }

    func freeze() {
      work.enter()
      DispatchQueue.global().async { [self] in
        let result: Result<Void, IOError>
        do throws(IOError) { result = .success(try system.freeze()) } catch {
          result = .failure(error)
        }
        outcome.withLock { $0 = result }
        work.leave()
      }
    }

    /// What came of freezing; nil if it is not done yet.
    func result(until deadline: ContinuousClock.Instant) -> Result<Void, IOError>? {
      let left = max(.zero, deadline - .now).components
      _ = work.wait(
        timeout: .now() + .seconds(Int(left.seconds))
          + .nanoseconds(Int(left.attoseconds / 1_000_000_000)))
      return outcome.withLock { $0 }
    }

    func thaw() throws(IOError) { try system.thaw() }
  }

  private let paths: [String]
  private let needed: [String]
  private var mounts: [Mounted] = []
  private var begun: [Mounted] = []

  init(_ paths: [String], needed: [String]) { (self.paths, self.needed) = (paths, needed) }

  func isNeeded(until deadline: ContinuousClock.Instant) throws(AgentError) -> Bool {
    try inHook { () throws(IOError) in try open() }
    var devices: [UInt64: String] = [:]
    for path in paths {
      let device = try inHook { () throws(IOError) in try FileSystem.system.status(path).device }
      if let other = devices.updateValue(path, forKey: device) {
        throw AgentError(
          .hook, "'\(path)' and '\(other)' are of one file system. Name it once.")
      }
    }
    try checkMounts()
    for path in needed {
      guard let device = try? FileSystem.system.status(path).device, let mount = devices[device]
      else { continue }
      throw AgentError(
        .hook,
        "'\(mount)' can't be frozen: '\(path)' lies on it, which the agent writes to or clones "
          + "meanwhile. Move one of them to another file system, or use another hook.")
    }
    return true
  }

  /// The directory of something that is not mounted now belongs to another file system, which nobody has
  /// named.
  private func checkMounts() throws(AgentError) {
    let points = try inHook { () throws(IOError) in
      Set(try FileSystem.mounts().map(\.point))
    }
    for path in paths where !points.contains(path) {
      throw AgentError(
        .hook, "Nothing is mounted at '\(path)'. Name mount points, as 'findmnt' shows them.")
    }
  }

  private func open() throws(IOError) {
    guard mounts.isEmpty else { return }
    var opened: [Mounted] = []
    for path in paths { opened.append(try Mounted(path)) }
    mounts = opened
  }

  func freeze(until deadline: ContinuousClock.Instant) throws(AgentError) {
    try inHook { () throws(IOError) in try open() }
    for mount in mounts {
      begun.append(mount)
      mount.freeze()
      switch mount.result(until: deadline) {
      case .success: break
      case nil:
        throw AgentError(.hook, "'\(mount.path)' could not be frozen in time.")
      case .failure(let error):
        begun.removeLast()
        guard error.isBusy else { throw AgentError(.hook, error.description) }
        throw AgentError(
          .hook, "'\(mount.path)' is frozen already, by somebody else ('fsfreeze -u' ends that).")
      }
    }
  }

  /// What was frozen by this freezer; if it froze nothing, what another one may have frozen that is gone.
  func thaw(until deadline: ContinuousClock.Instant) throws(AgentError) -> String? {
    let isHeir = mounts.isEmpty
    var gone: [String] = []
    if isHeir {
      begun = []
      for path in paths {
        do throws(IOError) { begun.append(try Mounted(path)) } catch {
          guard error.isMissing else { throw AgentError(hook: error) }
          gone.append(path)
        }
      }
    }
    for mount in begun.reversed() {
      if !isHeir {
        switch mount.result(until: deadline) {
        case nil: throw AgentError(.hook, "'\(mount.path)' is still being frozen.")
        case .failure: continue
        case .success: break
        }
      }
      try inHook { () throws(IOError) in try mount.thaw() }
    }
    guard gone.isEmpty else {
      throw AgentError(.missing, "\(gone.joined(separator: ", ")) is not there any more.")
    }
    return nil
  }
}
