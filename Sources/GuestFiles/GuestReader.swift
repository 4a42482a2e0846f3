public import Bytes
internal import ImageFormats

/// Reads what disks tell of the guest on them. For one thread.
///
/// Only ever reads a bounded amount; but the bytes are a stranger's and the library that reads them is large, so
/// a service has it done by a process of its own: `GuestFactsProcess`.
public struct GuestReader {
  private static let (partitionLimit, textLimit) = (64, 300)
  private let disks: [any DiskContent]
  /// The number of each, by which it is named.
  private let numbers: [Int]
  private let budget: ReadBudget

  /// Reads these disks, in the order in which the guest has them; they are named by their numbers, or by
  /// their places if none are given.
  public init(_ disks: [any DiskContent], numbers: [Int]? = nil) {
    (self.disks, self.numbers) = (disks, numbers ?? Array(disks.indices))
    budget = ReadBudget()
  }

  struct Found {
    var place: GuestFacts.Place
    var number: Int
    var system: ExtFileSystem
    /// `partition 1 of disk 0`; disks are counted from 0, as everywhere else.
    var words: String {
      (place.partition == 0 ? "" : "partition \(place.partition) of ") + "disk \(number)"
    }
  }

  /// Everything that is to be known. Blocks for seconds at the most if the disks answer at once.
  public func facts() -> GuestFacts {
    var facts = GuestFacts(disks: disks.count, notChecked: "There is no disk.")
    for (index, disk) in disks.enumerated() { facts.disks[index] = Self.layout(of: disk) }
    var (systems, others) = ([Found](), [String]())
    for index in disks.indices { find(on: index, &systems, &others) }
    guard let root = systems.first(where: { Self.isRoot($0.system) }) else {
      let what = others.isEmpty ? "no file system that can be read" : others.joined(separator: ", ")
      let reason = "No root file system was found that can be read; there is \(what)."
      let layouts = facts.disks
      facts = GuestFacts(disks: disks.count, notChecked: String(reason.prefix(Self.textLimit)))
      facts.disks = layouts
      return facts
    }
    facts.root = .known(root.place, source: "ext file system on \(root.words)")
    let boot = systems.first { $0.place != root.place && Self.isBoot($0.system) }
    GuestSystem(root: root.system, boot: boot?.system, place: root.words).fill(&facts)
    return facts
  }

  private static func layout(of disk: any DiskContent) -> GuestFacts.Disk {
    do {
      let layout = try BootLayout(of: disk)
      let source = "first sectors of the disk"
      return GuestFacts.Disk(
        scheme: .known(layout.scheme?.rawValue ?? "none", source: source),
        loader: .known(layout.loader.rawValue, source: source),
        systemPartition: .known(layout.systemPartition ?? 0, source: "partition table"))
    } catch {
      let reason = "The disk can't be read: " + "\(error)".prefix(textLimit)
      return GuestFacts.Disk(
        scheme: .notChecked(reason), loader: .notChecked(reason),
        systemPartition: .notChecked(reason))
    }
  }

  private func find(on index: Int, _ systems: inout [Found], _ others: inout [String]) {
    let disk = disks[index]
    let table = try? readPartitionTable(of: disk)
    var places = (table?.partitions ?? []).prefix(Self.partitionLimit)
      .map { (number: $0.number, range: $0.offset..<$0.offset + $0.size) }
    if places.isEmpty { places = [(0, 0..<disk.size)] }
    for (number, range) in places {
      let place = GuestFacts.Place(disk: index, partition: number)
      if let system = ExtFileSystem(on: disk, in: range, budget) {
        systems.append(Found(place: place, number: numbers[index], system: system))
      } else if let name = name(of: disk, range) {
        others.append(
          "\(name) on " + (number == 0 ? "" : "partition \(number) of ") + "disk \(numbers[index])")
      }
    }
  }

  /// What is there that is not read, by the marks that such things carry.
  private func name(of disk: any DiskContent, _ range: Range<UInt64>) -> String? {
    let marks: [(place: Int, mark: String, name: String)] = [
      (0, "XFSB", "xfs"), (0x10040, "_BHRfS_M", "btrfs"), (512, "LABELONE", "LVM"),
      (0, "LUKS", "LUKS"), (3, "NTFS", "ntfs"),
    ]
    let count = min(Int(clamping: range.count), 0x10048)
    guard count == 0x10048, budget.take(count) else { return nil }
    var bytes = [UInt8](repeating: 0, count: count)
    let isRead = bytes.withUnsafeMutableBytes {
      (try? disk.read(into: $0, at: range.lowerBound)) != nil
    }
    guard isRead else { return nil }
    if bytes[1080..<1082].elementsEqual([0x53, 0xEF]) { return "a damaged ext file system" }
    return marks.first { bytes[$0.place...].starts(with: $0.mark.utf8) }?.name
  }

  private static func isRoot(_ system: ExtFileSystem) -> Bool {
    ["/etc/fstab", "/etc/os-release", "/usr/lib/os-release", "/etc/hostname"]
      .contains { system.has($0) }
  }

  private static func isBoot(_ system: ExtFileSystem) -> Bool {
    ["/grub", "/grub2", "/extlinux", "/loader"].contains { system.has($0) }
      || ((try? system.names("/")) ?? nil)?.contains { $0.hasPrefix("vmlinuz") } == true
  }
}
