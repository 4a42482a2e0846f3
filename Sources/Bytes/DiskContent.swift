/// The bytes of one disk, wherever they come from: an image, a device, or a disk at a recovery point.
///
/// All calls may block the calling thread and may be made from several threads at once.
public protocol DiskContent: Sendable {
  /// Bytes of the disk, a multiple of 512.
  var size: UInt64 { get }

  /// Fills `buffer` with the bytes from `offset`; the whole range lies within `size`.
  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws

  /// The first byte at or after `offset` that may be other than zero; nil if none follows.
  func nextData(from offset: UInt64) throws -> UInt64?

  /// The first byte at or after `offset` that starts a hole (zeros that take no room); `size` if
  /// none follows.
  func nextHole(from offset: UInt64) throws -> UInt64
}
