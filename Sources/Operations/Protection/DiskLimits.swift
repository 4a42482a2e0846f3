internal import Bytes
internal import Catalog

/// What disks a machine may have to be protected: the limits of Azure Site Recovery for managed disks.
enum DiskLimits {
  /// Disks of a machine at the most.
  static let count = 64
  /// Bytes of the disk with the operating system at the most.
  static let systemSize: UInt64 = 4095 << 30
  /// Bytes of any other disk at the most.
  static let dataSize: UInt64 = 32767 << 30
  /// What every size is a multiple of.
  static let sector: UInt64 = 512

  /// The disk that holds the operating system: the lowest one.
  static func system(of disks: [AgentRecord.Disk]) -> Int? { disks.map(\.number).min() }

  /// Why disks can't be replicated; nil if they can. `system` is the one with the operating system.
  static func objection(to disks: [AgentRecord.Disk], system: Int?) -> String? {
    guard disks.count <= count else {
      return "it has \(disks.count) disks, and \(count) are allowed; exclude some"
    }
    for disk in disks {
      guard let size = disk.size else { continue }
      guard size % sector == 0 else {
        return "disk \(disk.number) has \(size) bytes, which is no multiple of \(sector); resize it"
          + (disk.number == system ? "" : " or exclude it")
      }
      let limit = disk.number == system ? systemSize : dataSize
      guard size <= limit else {
        return "disk \(disk.number) has \(size >> 30) GiB, and \(limit >> 30) GiB are allowed"
          + (disk.number == system
            ? " for the disk with the operating system; make it smaller"
            : "; make it smaller or exclude it")
      }
    }
    return nil
  }
}
