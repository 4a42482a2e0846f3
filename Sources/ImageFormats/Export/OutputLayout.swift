internal import Bytes
internal import FileIO

/// Where a disk's bytes go in a file of one format, and what the file holds besides.
///
/// The calls come in this order: `begin` or `resume`, then `place` with rising offsets and `settle`
/// now and then, then `finish`.
protocol OutputLayout {
  /// Bytes the image shows as its disk; the disk's own, or padded.
  var paddedSize: UInt64 { get }

  /// Makes the empty file ready.
  mutating func begin(_ file: borrowing File) throws(IOError)

  /// Goes on in a file that durably holds the disk up to `position` in `blocks` blocks; what
  /// follows is cut off. False if the file can't be that.
  mutating func resume(
    _ file: borrowing File, at position: UInt64, blocks: Int
  ) throws(IOError) -> Bool

  /// The byte of the file where the disk's byte `offset` goes.
  mutating func place(of offset: UInt64, in file: borrowing File) throws(IOError) -> UInt64

  /// Writes what is needed to resume at `position`, and gives the number of blocks before it.
  mutating func settle(_ file: borrowing File, at position: UInt64) throws(IOError) -> Int

  /// Writes what surrounds the disk's bytes.
  mutating func finish(_ file: borrowing File) throws(IOError)
}

/// The layout of raw and fixed VHD: every byte at its own place, and perhaps a footer.
struct FlatLayout: OutputLayout {
  let paddedSize: UInt64
  private let footer: [UInt8]
  private var fileSize: UInt64 { paddedSize + UInt64(footer.count) }

  /// A raw image of a disk of `size` bytes.
  init(raw size: UInt64) { (paddedSize, footer) = (size, []) }

  /// A fixed VHD.
  init(_ vhd: FixedVHD) { (paddedSize, footer) = (vhd.paddedSize, vhd.footer) }

  func begin(_ file: borrowing File) throws(IOError) {
    try file.truncate(to: 0)
    try file.truncate(to: fileSize)
  }

  func resume(
    _ file: borrowing File, at position: UInt64, blocks: Int
  ) throws(IOError) -> Bool {
    guard try file.status().size == fileSize, position <= paddedSize else { return false }
    try file.truncate(to: position)
    try file.truncate(to: fileSize)
    return true
  }

  func place(of offset: UInt64, in file: borrowing File) throws(IOError) -> UInt64 { offset }

  func settle(_ file: borrowing File, at position: UInt64) throws(IOError) -> Int { 0 }

  func finish(_ file: borrowing File) throws(IOError) { try file.write(footer, at: paddedSize) }
}
