public import Bytes
internal import FileIO
internal import Glibc

/// A plain file as a disk that can be written.
public final class FileDisk: WritableDisk {
  private let file: File
  /// Bytes of the file when it was opened.
  public let size: UInt64

  /// Opens a file.
  public init(_ path: String) throws {
    file = try File(path, .writing)
    size = try file.status().size
  }

  /// Reads from the file.
  public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws {
    let count = try file.read(into: buffer, at: offset)
    guard count == buffer.count else { throw IOError("read", file.path, code: EIO) }
  }

  /// Writes to the file.
  public func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws {
    try file.write(bytes, at: offset)
  }

  /// Punches a hole.
  public func zero(_ range: Range<UInt64>) throws {
    try file.punchHole(at: range.lowerBound, count: range.upperBound - range.lowerBound)
  }

  /// Syncs the file.
  public func flush() throws { try file.sync() }

  /// As the file system tells.
  public func nextData(from offset: UInt64) throws -> UInt64? { try file.nextData(from: offset) }

  /// As the file system tells.
  public func nextHole(from offset: UInt64) throws -> UInt64 { try file.nextHole(from: offset) }
}
