/// The formats a disk is exported in; the raw values are what the command line calls them.
public enum ExportFormat: String, Hashable, Sendable, CaseIterable {
  /// The disk's bytes and nothing else.
  case raw
  /// A fixed VHD: every byte, padded to a whole MiB, and a footer. What Azure accepts.
  case fixedVHD = "vhd"
  /// A dynamic VHD: blocks of 2 MiB, those of zeros left out. Smaller to copy.
  case dynamicVHD = "vhd-dynamic"
}
