internal import Bytes
internal import FoundationEssentials
internal import ImageFormats
internal import Vault

/// `machine.json`: what the vault knows of a machine. Its field names are a promise.
struct MachineDocument: Encodable {
  struct Disk: Encodable {
    let number: DiskNumber
    let source: String
    let capture: String
    let format: String
  }

  let id: String
  let name: String
  let operatingSystem: String
  let disks: [Disk]
  let points: Int
  let oldestPoint: String?
  let newestPoint: String?
  let windowEnd: String?

  init(_ snapshot: MachineSnapshot) {
    id = snapshot.machine.description
    name = snapshot.configuration.name
    operatingSystem = String(describing: snapshot.configuration.operatingSystem)
    disks = snapshot.configuration.disks.map {
      Disk(
        number: $0.number, source: $0.path, capture: String(describing: $0.capture),
        format: String(describing: $0.format))
    }
    points = snapshot.points.count
    oldestPoint = snapshot.points.first?.id
    newestPoint = snapshot.points.last?.id
    windowEnd = snapshot.windowEnd?.iso8601
  }
}

/// `point.json`: what a directory of a point shows, and why it lacks what it lacks. Its field names
/// are a promise.
struct PointDocument: Encodable {
  struct Partition: Encodable {
    let number: Int
    let file: String
    let offset: UInt64
    let size: UInt64
    let scheme: String
    let type: String
    let name: String?
  }

  struct Disk: Encodable {
    let number: DiskNumber
    let size: UInt64
    let raw: String
    let vhd: String?
    let vhdAbsent: String?
    let partitions: [Partition]
    let partitionRemarks: [String]
  }

  struct Asked: Encodable {
    let instant: String
    let spelling: String
    let distanceSeconds: Double
    let clamped: Bool
  }

  let id: String
  let machine: String
  let time: String
  let kind: String
  let consistency: String
  let sourceWatched: Bool
  let locked: Bool
  let label: String?
  let asked: Asked?
  let disks: [Disk]

  init(_ place: PointPlace, _ visit: Visit, machine: String, disks: [Disk]) {
    let point = visit.point
    id = point.id
    self.machine = machine
    time = point.time.iso8601
    kind = point.kind.name
    consistency = point.consistency == .machine ? "machine" : "per-disk"
    sourceWatched = point.sourceWatched
    locked = point.locked
    label = point.label
    asked = place.asked.flatMap { spelling in
      visit.asked.map { instant in
        Asked(
          instant: instant.iso8601, spelling: spelling,
          distanceSeconds: Double(visit.distance ?? 0) / 1_000_000_000, clamped: visit.clamped)
      }
    }
    self.disks = disks
  }
}

extension Disks {
  /// What `point.json` says of a disk; a partition table that can't be read is a remark, not an error.
  func describe(_ disk: PointDisk, at point: RecoveryPoint, in machine: Identifier)
    -> PointDocument.Disk
  {
    func name(_ form: ImageName.Form) -> String {
      ImageName(disk: disk.number, form: form).description
    }
    let table: PartitionTable
    do {
      table = try self.table(of: disk.number, at: point, in: machine)
    } catch { table = PartitionTable(remarks: [error.message]) }
    var absent: String?
    do {
      _ = try vhd(of: disk.number, size: disk.size, at: point, in: machine)
    } catch { absent = error.message }
    let partitions = table.partitions.map { partition in
      PointDocument.Partition(
        number: partition.number, file: name(.partition(partition.number)),
        offset: partition.offset, size: partition.size,
        scheme: partition.scheme.rawValue, type: partition.type, name: partition.name)
    }
    return PointDocument.Disk(
      number: disk.number, size: disk.size, raw: name(.raw), vhd: absent == nil ? name(.vhd) : nil,
      vhdAbsent: absent, partitions: partitions, partitionRemarks: table.remarks)
  }
}

/// The bytes of a document: JSON (RFC 8259), readable by a person, keys in alphabetical order.
func render(_ document: some Encodable) throws(TreeError) -> [UInt8] {
  let encoder = JSONEncoder()
  encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
  do {
    return Array(try encoder.encode(document)) + [UInt8(ascii: "\n")]
  } catch { throw .wrapping(error) }
}
