/// The bytes of a disk that can be written: a branch above a recovery point, or a plain file.
///
/// All calls take any byte alignment, may block the calling thread and may be made from several
/// threads at once. Of two writes that overlap in range and in time, every byte is that of one of
/// them; a read that begins after a write returned sees it.
public protocol WritableDisk: DiskContent {
  /// Replaces the bytes from `offset`; the whole range lies within `size`.
  ///
  /// When it returns, the end of the process loses nothing of it. The end of the power may, until
  /// `flush` has returned.
  func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws

  /// Makes the bytes in `range` zeros, which take no room where whole blocks of the disk are
  /// covered: a discard, or a write of zeros. The range lies within `size`.
  func zero(_ range: Range<UInt64>) throws

  /// Makes everything durable that was written before the call.
  func flush() throws
}
