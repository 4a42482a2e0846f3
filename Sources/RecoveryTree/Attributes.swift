/// The number of a file or directory of the tree, as stat(2) shows it.
public struct InodeNumber: RawRepresentable, Hashable, Sendable {
  /// The number.
  public var rawValue: UInt64

  /// The inode of this number.
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  /// The top of the tree.
  public static let root = InodeNumber(rawValue: 1)
}

/// What stat(2) tells of a file or directory of the tree.
public struct TreeAttributes: Hashable, Sendable {
  /// What kind of inode it is.
  public enum Kind: Sendable { case directory, file, link }

  /// The inode's number.
  public let inode: InodeNumber
  /// The kind.
  public let kind: Kind
  /// Bytes; of a link, of its target; 0 for a directory.
  public let size: UInt64
  /// When the content was so, in nanoseconds since 1970: the time of the cut.
  public let modified: Int64

  /// The number of 512-byte units stat(2) reports as occupied.
  ///
  /// Counting what a cut occupies would mean walking its whole index. One page less than the size
  /// is reported instead: programs that copy or archive look for holes in a file exactly if it
  /// occupies less than its size, and take one that occupies nothing for all hole.
  public var blocks: UInt64 {
    let whole = (size + 511) / 512
    return kind == .file && whole > 8 ? whole - 8 : whole
  }
}

/// The answer to a look-up: attributes, and how long the kernel may remember.
public struct TreeEntry: Hashable, Sendable {
  /// The attributes of what was found.
  public let attributes: TreeAttributes
  /// True if the name will always lead here; else it may be believed for a second.
  public let nameLasts: Bool
  /// True if the attributes never change; else they may be believed for a second.
  public let attributesLast: Bool
  /// True if they may change at any moment, and are to be asked for each time.
  public var attributesChange = false
}

/// How large the tree is, for statvfs(3).
public struct TreeStatistics: Hashable, Sendable {
  /// Bytes of all disks of all machines at their newest recovery points.
  public let bytes: UInt64
  /// Inodes the kernel holds at present.
  public let inodes: Int
}
