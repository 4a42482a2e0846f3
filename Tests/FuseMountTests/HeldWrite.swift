internal import DiskServers
internal import Dispatch
internal import FileIO
internal import Glibc
internal import Support
internal import Synchronization
internal import Testing

/// A disk that is open for writing, for several threads.
final class OpenDisk: Sendable {
  private let file: File

  init(_ path: String) throws(IOError) { file = try File(path, .writing) }

  func write(_ bytes: [UInt8], at offset: UInt64) throws(IOError) {
    try file.write(bytes, at: offset)
  }
}

/// A write on a thread of its own, to a disk that holds it (`MountServer --holding FILE`): for moments at which a
/// server has a write in its hands.
final class HeldWrite: Sendable {
  private let group = DispatchGroup()
  private let outcome = Mutex<Int32?>(nil)

  /// Opens the disk and begins to write, once the file that holds writes is there.
  init(_ bytes: [UInt8], to path: String, at offset: UInt64) throws {
    let disk = try OpenDisk(path)
    DispatchQueue(label: "tidemark.test.write").async(group: group) { [self] in
      let failure = code { () throws(IOError) in try disk.write(bytes, at: offset) }
      outcome.withLock { $0 = failure ?? 0 }
    }
  }

  /// The errno that it ended with, 0 for none; nil if it does not end.
  func result(within seconds: Double) -> Int32? {
    _ = group.wait(timeout: .now() + seconds)
    return outcome.withLock { $0 }
  }

  /// Waits until the server of that start has a request in its hands.
  static func isHeld(by served: ServedBranch, start: Int) -> Bool {
    Program.poll(seconds: 30) {
      guard let status = try? served.client.status() else { return false }
      // Nothing else takes so long.
      return status.starts == start && status.oldestSeconds ?? 0 > 0.05
    }
  }
}
