internal import Bytes
internal import Glibc
internal import ImageFormats
internal import Synchronization
internal import Vault

/// A disk at a cut.
struct DiskAtCut: Hashable, Sendable {
  let cut: Cut
  let disk: DiskNumber
}

/// The readers of disks that are open, and the partition tables seen last.
final class Disks: Sendable {
  /// Partition tables kept; each is some kilobytes at the most.
  static let tableLimit = 512

  private struct Weakly { weak var reader: DiskReader? }

  private let machines: Machines
  /// Held weakly: a reader keeps old files of the vault from being removed, so none is kept that no
  /// open file needs.
  private let readers = Mutex<[DiskAtCut: Weakly]>([:])
  private let tables = Mutex(BoundedCache<DiskAtCut, PartitionTable>(limit: tableLimit))

  init(of machines: Machines) { self.machines = machines }

  /// The disk at a point; files that are open on the same disk of the same cut share one reader.
  func reader(of disk: DiskNumber, at point: RecoveryPoint, in machine: Identifier)
    throws(TreeError) -> DiskReader
  {
    let key = DiskAtCut(cut: Cut(machine: machine, sequence: point.sequence), disk: disk)
    if let reader = readers.withLock({ $0[key]?.reader }) { return reader }
    let snapshot = try machines.known(machine).points().snapshot
    let reader = try translated { () throws(VaultError) in try snapshot.disk(disk, at: point) }
    return readers.withLock { readers in
      if let other = readers[key]?.reader { return other }
      readers = readers.filter { $0.value.reader != nil }
      readers[key] = Weakly(reader: reader)
      return reader
    }
  }

  /// The partition table of a disk at a point; one without partitions if the disk holds none.
  func table(of disk: DiskNumber, at point: RecoveryPoint, in machine: Identifier)
    throws(TreeError) -> PartitionTable
  {
    let key = DiskAtCut(cut: Cut(machine: machine, sequence: point.sequence), disk: disk)
    if let table = tables.withLock({ $0[key] }) { return table }
    let reader = try reader(of: disk, at: point, in: machine)
    let table: PartitionTable
    do { table = try readPartitionTable(of: reader) } catch { throw .wrapping(error) }
    tables.withLock { $0.insert(table, for: key) }
    return table
  }
}

/// Where the bytes of a file of a point are on its disk.
enum ImageShape: Sendable {
  /// `count` bytes from `start`: the disk, or a partition of it.
  case window(start: UInt64, count: UInt64)
  case vhd(FixedVHD)

  var size: UInt64 {
    switch self {
    case .window(_, let count): count
    case .vhd(let image): image.fileSize
    }
  }
}

extension Disks {
  /// The shape of one file of a point.
  ///
  /// - Throws: ENOENT if the point has no such file.
  func shape(of name: ImageName, at point: RecoveryPoint, in machine: Identifier)
    throws(TreeError) -> ImageShape
  {
    guard let size = point.size(of: name.disk) else { throw .missing(name.description) }
    switch name.form {
    case .raw: return .window(start: 0, count: size)
    case .vhd: return .vhd(try vhd(of: name.disk, size: size, at: point, in: machine))
    case .partition(let number):
      let table = try table(of: name.disk, at: point, in: machine)
      guard let partition = table.partitions.first(where: { $0.number == number }) else {
        throw .missing(name.description)
      }
      return .window(start: partition.offset, count: partition.size)
    }
  }

  /// The VHD of a disk, its identifier and time taken from the point, so that it is byte for byte what
  /// an export of the point is.
  ///
  /// - Throws: ENOENT with the reason if a VHD can't hold the disk.
  func vhd(of disk: DiskNumber, size: UInt64, at point: RecoveryPoint, in machine: Identifier)
    throws(TreeError) -> FixedVHD
  {
    let identifier = point.imageIdentifier(of: disk, machine: machine)
    do {
      return try FixedVHD(diskSize: size, identifier: identifier, created: point.time)
    } catch {
      throw TreeError(code: ENOENT, message: error.description)
    }
  }
}
