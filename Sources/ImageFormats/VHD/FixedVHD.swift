public import Bytes

/// The layout of a fixed VHD around a disk: its bytes, zeros up to a whole MiB, a footer.
///
/// Made for one disk once, it answers reads of the VHD without the VHD existing anywhere. Equal
/// arguments give equal bytes, so what is read here and what an export writes are the same file.
public struct FixedVHD: Sendable {
  /// Bytes of the disk inside.
  public let diskSize: UInt64
  /// Bytes of the disk as the VHD shows it, a whole number of MiB.
  public let paddedSize: UInt64
  /// Bytes of the VHD: the padded size and the footer.
  public let fileSize: UInt64
  /// The 512 bytes at the end.
  public let footer: [UInt8]

  /// Lays out a disk of `diskSize` bytes.
  ///
  /// - Parameters:
  ///   - diskSize: bytes of the disk.
  ///   - identifier: the image's unique id; the same for the same content.
  ///   - created: the time in the footer, to the second, from 2000 to 2136.
  /// - Throws: `.invalidSize` if it is no whole number of sectors; `.tooLarge` above 2,040 GiB.
  public init(
    diskSize: UInt64, identifier: Identifier, created: Timestamp
  ) throws(ImageError) {
    self.diskSize = diskSize
    paddedSize = try VHD.paddedSize(of: diskSize)
    fileSize = paddedSize + UInt64(VHDFooter.size)
    footer =
      VHDFooter(kind: .fixed, diskSize: paddedSize, identifier: identifier, created: created)
      .encoded()
  }

  /// Fills `buffer` with the VHD's bytes from `offset`, those of the disk taken from `content`.
  ///
  /// The whole range lies within `fileSize`. Allocates nothing of its own.
  /// - Throws: what `content` throws.
  public func read(
    into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64, from content: some DiskContent
  ) throws {
    var rest = buffer
    var place = offset
    /// Cuts from `rest` what lies before `end`.
    func part(before end: UInt64) -> UnsafeMutableRawBufferPointer? {
      guard place < end, !rest.isEmpty else { return nil }
      let count = Int(min(UInt64(rest.count), end - place))
      let part = UnsafeMutableRawBufferPointer(rebasing: rest[..<count])
      rest = UnsafeMutableRawBufferPointer(rebasing: rest[count...])
      place += UInt64(count)
      return part
    }
    if let data = part(before: diskSize) { try content.read(into: data, at: offset) }
    part(before: paddedSize)?.clear()
    let inFooter = Int(place - min(place, paddedSize))
    if let end = part(before: fileSize) {
      footer.withUnsafeBytes { bytes in
        let source = bytes[inFooter..<inFooter + end.count]
        end.copyMemory(from: UnsafeRawBufferPointer(rebasing: source))
      }
    }
  }

  /// The VHD's first byte at or after `offset` that may be other than zero; nil at its end.
  ///
  /// - Throws: what `content` throws.
  public func nextData(from offset: UInt64, in content: some DiskContent) throws -> UInt64? {
    guard offset < fileSize else { return nil }
    if offset < diskSize, let data = try content.nextData(from: offset) { return data }
    return max(offset, paddedSize)
  }

  /// The VHD's first byte at or after `offset` that starts a hole; `fileSize` if none follows.
  ///
  /// - Throws: what `content` throws.
  public func nextHole(from offset: UInt64, in content: some DiskContent) throws -> UInt64 {
    var place = offset
    if place < diskSize {
      place = try content.nextHole(from: place)
      if place < diskSize { return place }
    }
    return place < paddedSize ? place : fileSize
  }
}
