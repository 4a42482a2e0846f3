internal import ImageFormats

/// What of a disk could start a machine, as JSON.
public struct BootLayoutDocument: Codable, Sendable {
  /// `mbr`, `gpt` or `none`.
  public let partitionTable: String
  /// What a PC's firmware would run: `grub`, `syslinux`, `windows`, `other` or `none`.
  public let bootLoader: String
  /// The number of the EFI system partition; none if there is none.
  public let systemPartition: Int?

  init(_ layout: BootLayout) {
    partitionTable = layout.scheme?.rawValue ?? "none"
    (bootLoader, systemPartition) = (layout.loader.rawValue, layout.systemPartition)
  }
}
