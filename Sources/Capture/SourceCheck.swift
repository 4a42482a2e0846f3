public import Bytes
internal import FileIO
internal import ImageFormats
public import Vault

/// Whether the source of a disk is what it should be, without reading its content.
public enum SourceCheck {
  /// The size of a source: of the disk inside, for a VHD.
  ///
  /// - Throws: `.sourceMissing`, `.sourceUnreadable` (also of something that is neither a file nor a
  ///   block device, or of a VHD that is damaged), `.sizeInvalid`.
  public static func size(of disk: DiskConfiguration) throws(CaptureError) -> UInt64 {
    try checkKind(of: disk)
    let size = try open(disk, at: disk.path).size
    return size
  }

  /// - Throws: `.notClonable` if the mode is to clone the source, and it lies where it can't be.
  public static func mode(of disk: DiskConfiguration) throws(CaptureError) {
    guard disk.capture == .reflink else { return }
    _ = try CloneStore(machine: Identifier(high: 0, low: 0), disk: disk)
  }

  /// Whether the clone is there that a disk's newest recovery point was made from; `cycle` is that of the
  /// point, nil for any.
  public static func hasClone(
    of disk: DiskConfiguration, machine: Identifier, cycle: UInt64?
  ) throws(CaptureError) -> Bool {
    try CloneStore(machine: machine, disk: disk).names().contains {
      cycle == nil || $0.cycle == cycle
    }
  }

  /// Removes the clones kept for a machine's disk, which nothing else would ever do.
  public static func forgetClones(
    of disk: DiskConfiguration, machine: Identifier
  ) throws(CaptureError) {
    guard disk.capture == .reflink else { return }
    try CloneStore(machine: machine, disk: disk).removeAll()
  }

  /// Opening anything but a file or device could wait for ever, as on a named pipe.
  private static func checkKind(of disk: DiskConfiguration) throws(CaptureError) {
    let kind: FileStatus.Kind
    do throws(IOError) { kind = try FileSystem.system.status(disk.path).kind } catch {
      throw .source(disk.number, disk.path, error)
    }
    guard kind != .file, kind != .device else { return }
    throw CaptureError(
      .sourceUnreadable,
      "Disk \(disk.number), '\(disk.path)', is neither a file nor a block device. Name the disk's "
        + "image file or its device.")
  }

  /// Opens what is read of a disk: its source, or a clone of it at another path.
  static func open(
    _ disk: DiskConfiguration, at path: String, isClone: Bool = false
  ) throws(CaptureError) -> any DiskContent {
    do {
      return try openImage(path, as: disk.format == .vhd ? .vhd : .raw, isReadOnce: isClone)
    } catch { throw .source(disk.number, disk.path, error) }
  }
}
