internal import Bytes
internal import FileIO
internal import Glibc

/// A disk that takes no write while a file is there: whoever writes waits, and what he asked for is in the server's
/// hands. If `<file>.crash` is there, too, the server ends of itself.
final class HoldingDisk: WritableDisk {
  private let disk: any WritableDisk
  private let file: String

  init(_ disk: any WritableDisk, _ file: String) { (self.disk, self.file) = (disk, file) }

  var size: UInt64 { disk.size }
  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws {
    try disk.read(into: buffer, at: offset)
  }
  func nextData(from offset: UInt64) throws -> UInt64? { try disk.nextData(from: offset) }
  func nextHole(from offset: UInt64) throws -> UInt64 { try disk.nextHole(from: offset) }
  func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws {
    while FileSystem.system.exists(file) {
      if FileSystem.system.exists(file + ".crash") {
        signal(SIGILL, SIG_DFL)
        raise(SIGILL)
      }
      usleep(5000)
    }
    try disk.write(bytes, at: offset)
  }
  func zero(_ range: Range<UInt64>) throws { try disk.zero(range) }
  func flush() throws { try disk.flush() }
}
