internal import Bytes
internal import FileIO
internal import FuseMount
internal import Glibc
internal import Synchronization

/// A disk that can't be made durable while a file is there, and takes nothing more from then on. The file is
/// removed at the first failure, unless `<file>.always` is there too; if `<file>.lost` is there, writes are
/// lost by then; if `<file>.plain` is there, opening it again mends nothing, and if `<file>.closing` is, its end
/// fails, too.
final class FailingDisk: WritableDisk {
  private let disk: any WritableDisk
  private let file: String
  private let hasEnded = Atomic(false)

  init(_ disk: any WritableDisk, _ file: String) { (self.disk, self.file) = (disk, file) }

  var served: ServedDisks {
    var served = ServedDisks([0: self])
    served.health = { [self] in
      var health = ServedDisks.Health()
      health.hasEnded = hasEnded.load(ordering: .relaxed)
      health.canMend = !has(".plain") && !has(".closing")
      health.writes = !health.hasEnded && FileSystem.system.exists(file + ".lost") ? 3 : 5
      return health
    }
    served.close = { [self] in
      guard has(".closing") else { return }
      throw IOError("sync", file, code: EIO)
    }
    return served
  }

  private func has(_ sign: String) -> Bool { FileSystem.system.exists(file + sign) }

  private func check() throws {
    guard hasEnded.load(ordering: .relaxed) else { return }
    throw IOError("sync", file, code: EIO)
  }

  var size: UInt64 { disk.size }
  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws {
    try disk.read(into: buffer, at: offset)
  }
  func nextData(from offset: UInt64) throws -> UInt64? { try disk.nextData(from: offset) }
  func nextHole(from offset: UInt64) throws -> UInt64 { try disk.nextHole(from: offset) }
  func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws {
    try check()
    try disk.write(bytes, at: offset)
  }
  func zero(_ range: Range<UInt64>) throws {
    try check()
    try disk.zero(range)
  }
  func flush() throws {
    if FileSystem.system.exists(file) {
      hasEnded.store(true, ordering: .relaxed)
      if !FileSystem.system.exists(file + ".always") { try FileSystem.system.remove(file) }
    }
    try check()
    try disk.flush()
  }
}
