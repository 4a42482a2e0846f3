public import Bytes

/// The formats a disk image is read in.
public enum ImageFormat: String, Hashable, Sendable, CaseIterable {
  /// The disk's bytes and nothing else: an image file or a block device.
  case raw
  /// Virtual Hard Disk, fixed or dynamic.
  case vhd

  /// The format that a file's name tells: `.vhd` in any case is a VHD, all else is raw.
  ///
  /// The content is not asked: a guest could write a footer into its own raw disk.
  public init(nameOf path: String) {
    self = path.lowercased().hasSuffix(".vhd") ? .vhd : .raw
  }
}

/// Opens a disk image for reading.
///
/// A VHD's headers and block table are read and checked here; its data when it is asked for. `isReadOnce` is
/// for a raw image of which nothing is wanted in the kernel's memory; see ``RawImage/init(_:isReadOnce:)``.
/// - Throws: `.io` if the file can't be opened; `.invalidSize`, `.notAnImage`, `.damaged` or
///   `.unsupported` if it can't be a disk.
public func openImage(
  _ path: String, as format: ImageFormat, isReadOnce: Bool = false
) throws(ImageError) -> any DiskContent {
  switch format {
  case .raw: try RawImage(path, isReadOnce: isReadOnce)
  case .vhd: try VHDImage(path)
  }
}

/// Checks the size of the disk that the file `name` holds.
func checkDiskSize(_ size: UInt64, of name: String) throws(ImageError) {
  guard size > 0 else {
    throw ImageError(
      .invalidSize, "Cannot use '\(name)' as a disk: it holds no bytes. Name a disk with content.")
  }
  guard size % UInt64(Layout.sectorSize) == 0 else {
    throw ImageError(
      .invalidSize,
      "Cannot use '\(name)' as a disk: its size of \(size) bytes is not a whole number of sectors "
        + "of 512 bytes. Was it cut short, or is it of another format?")
  }
  guard size <= Layout.largestDisk else {
    throw ImageError(
      .tooLarge,
      "Cannot use '\(name)' as a disk: its size of \(size) bytes is beyond the largest disk, "
        + "256 TiB (\(Layout.largestDisk) bytes).")
  }
}
