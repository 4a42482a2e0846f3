internal import Bytes
internal import Dispatch
internal import FileIO
internal import Vault

/// Notices whether a source changes while it is read: its size, its times, and which file its path
/// names.
final class SourceWatch: Sendable {
  private let disk: DiskNumber
  private let path: String
  private let file: File
  private let before: FileStatus

  /// Begins to watch. Waits, at most a second, until the last change lies so far back that another
  /// one would show in the times (their grain is the kernel's tick).
  init(disk: DiskConfiguration) throws(CaptureError) {
    (self.disk, path) = (disk.number, disk.path)
    do throws(IOError) {
      file = try File(disk.path, .reading)
      // Pages a process mapped and wrote are clean after this, so that its next write is noticed.
      if try file.status().kind == .file { try file.sync() }
      before = try Self.settled(file)
    } catch { throw .source(disk.number, disk.path, error) }
  }

  private static func settled(_ file: borrowing File) throws(IOError) -> FileStatus {
    let grain: Int64 = 20_000_000
    var status = try file.status()
    for _ in 0..<50 {
      let age = Timestamp.now().rawValue - max(status.modified, status.changed).rawValue
      // A time in the future is another machine's clock, or was set by hand: nothing to wait for.
      guard (0..<grain).contains(age) else { return status }
      pause(.milliseconds(20))
      status = try file.status()
    }
    return status
  }

  private static func pause(_ interval: DispatchTimeInterval) {
    _ = DispatchSemaphore(value: 0).wait(timeout: .now() + interval)
  }

  /// Whether a change would be noticed: devices have no times.
  var canTell: Bool { before.kind == .file }

  /// - Throws: `.sourceChanged` if the source is not what it was when the watch began.
  func check() throws(CaptureError) {
    guard canTell else { return }
    let after: FileStatus
    let named: FileStatus
    do throws(IOError) {
      after = try file.status()
      named = try FileSystem.system.status(path)
    } catch { throw .source(disk, path, error) }
    guard let what = change(after, named) else { return }
    throw CaptureError(
      .sourceChanged,
      "Disk \(disk) changed while it was read: \(what) of '\(path)'. No recovery point was made. "
        + "Stop what writes to it or replicate from a snapshot, then run the command again; or let "
        + "the machine be captured with --capture reflink.")
  }

  private func change(_ after: FileStatus, _ named: FileStatus) -> String? {
    if named.inode != before.inode || named.device != before.device {
      return "another file has the path"
    }
    if after.size != before.size { return "the size went from \(before.size) to \(after.size)" }
    if after.modified != before.modified { return "the time of the last write moved" }
    if after.changed != before.changed { return "the time of the last change moved" }
    return nil
  }
}
