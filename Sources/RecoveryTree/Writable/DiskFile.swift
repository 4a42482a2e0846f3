internal import Bytes

/// A file of a mount of writable disks: a disk, or a partition of it.
///
/// Its inode, and the handles of those who have it open, are made of the two numbers alone, so that a
/// process that takes over a mount knows what the kernel speaks of.
struct DiskFile: Hashable, Sendable {
  let disk: DiskNumber
  /// 0 for the whole disk.
  let partition: Int

  static let partitionLimit = 1 << 16

  init(disk: DiskNumber, partition: Int = 0) {
    (self.disk, self.partition) = (disk, partition)
  }

  /// The file of an inode; nil if no file has it.
  init?(_ inode: InodeNumber) {
    let number = inode.rawValue >> 16
    guard number > 0, let disk = DiskNumber(exactly: number - 1) else { return nil }
    self.init(disk: disk, partition: Int(inode.rawValue & 0xFFFF))
  }

  /// The file of a name such as `disk0.raw` or `disk0.part1.raw`; nil for other names.
  init?(_ name: String) {
    guard let image = ImageName(name) else { return nil }
    switch image.form {
    case .raw: self.init(disk: image.disk)
    case .partition(let number):
      guard (1..<Self.partitionLimit).contains(number) else { return nil }
      self.init(disk: image.disk, partition: number)
    case .vhd: return nil
    }
  }

  var inode: InodeNumber {
    InodeNumber(rawValue: (UInt64(disk) + 1) << 16 | UInt64(partition))
  }

  var name: String {
    ImageName(disk: disk, form: partition == 0 ? .raw : .partition(partition)).description
  }
}

/// What the kernel is given for an open file: `count << 53 | inode << 20 | use << 16 | place in the table`.
struct DiskHandle: Hashable, Sendable {
  /// What an open file is used for.
  struct Use: OptionSet, Hashable, Sendable {
    let rawValue: UInt64
    /// It can be written to.
    static let writes = Use(rawValue: 1)
    /// It goes around the kernel's cache.
    static let uncached = Use(rawValue: 2)
  }

  let rawValue: UInt64

  init(rawValue: UInt64) { self.rawValue = rawValue }

  /// `count` counts the opens; its lowest 11 bits are kept.
  init(_ file: DiskFile, _ use: Use, place: Int, count: UInt64) {
    rawValue = count << 53 | file.inode.rawValue << 20 | use.rawValue << 16 | UInt64(place)
  }

  var file: DiskFile? { DiskFile(InodeNumber(rawValue: (rawValue << 11) >> 31)) }
  var use: Use { Use(rawValue: (rawValue >> 16) & 0xF) }
  var writes: Bool { use.contains(.writes) }
  /// It is only read, and the kernel keeps what was.
  var readsCache: Bool { use.isEmpty }
  var place: Int { Int(rawValue & 0xFFFF) }
}
