internal import Bytes

/// The state of all disks of one machine at one sequence number.
struct Cut: Hashable, Sendable {
  let machine: Identifier
  let sequence: SequenceNumber
}

/// A symbolic link beside `points/`.
enum PointLink: String, CaseIterable, Sendable {
  case latest
  case latestApplicationConsistent = "latest-app-consistent"
}

/// A directory beside the machines whose links lead to the disks of branches.
enum BranchShelf: String, CaseIterable, Sendable {
  case drills = "test-failovers"
  case failovers = "failed-over"
}

/// A directory that shows one cut: `points/<id>`, or `at/<instant>` as it was resolved.
struct PointPlace: Hashable, Sendable {
  let cut: Cut
  /// The instant as it was spelled; nil under `points/`.
  let asked: String?
}

/// The name of a disk's file in a point's directory: `disk0.raw`, `disk0.vhd`, `disk0.part1.raw`.
struct ImageName: Hashable, Sendable, CustomStringConvertible {
  enum Form: Hashable, Sendable {
    case raw
    case vhd
    case partition(Int)
  }

  let disk: DiskNumber
  let form: Form

  init(disk: DiskNumber, form: Form) {
    self.disk = disk
    self.form = form
  }

  /// Reads exactly what `description` writes; nil for anything else.
  init?(_ text: String) {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    guard let first = parts.first, first.hasPrefix("disk"),
      let disk = DiskNumber(first.dropFirst(4))
    else { return nil }
    switch parts.dropFirst() {
    case ["raw"]: form = .raw
    case ["vhd"]: form = .vhd
    default:
      guard parts.count == 3, parts[2] == "raw", parts[1].hasPrefix("part"),
        let number = Int(parts[1].dropFirst(4))
      else { return nil }
      form = .partition(number)
    }
    self.disk = disk
    guard description == text else { return nil }
  }

  var description: String {
    switch form {
    case .raw: "disk\(disk).raw"
    case .vhd: "disk\(disk).vhd"
    case .partition(let number): "disk\(disk).part\(number).raw"
    }
  }
}

/// A disk's file at a cut, by whatever path it is reached.
struct ImagePlace: Hashable, Sendable {
  let cut: Cut
  let name: ImageName
}

/// What an inode stands for. Two paths share an inode exactly if they lead to equal places.
enum Place: Hashable, Sendable {
  case root
  case machine(Identifier)
  case machineDocument(Identifier)
  case link(Identifier, PointLink)
  case points(Identifier)
  case instants(Identifier)
  case point(PointPlace)
  case pointDocument(PointPlace)
  case image(ImagePlace)
  case shelf(BranchShelf)
  /// The drills of a machine.
  case drills(Identifier)
  /// A link to the disks of a branch.
  case branch(Identifier)
}

extension Place {
  var kind: TreeAttributes.Kind {
    switch self {
    case .root, .machine, .points, .instants, .point, .shelf, .drills: .directory
    case .link, .branch: .link
    case .machineDocument, .pointDocument, .image: .file
    }
  }

  /// Files of a cut never change; everything else can be asked again after a moment.
  var attributesLast: Bool {
    if case .image = self { return true }
    return false
  }

  /// Whether the name, once found in its directory, leads to this place for as long as the
  /// directory itself is found. A machine, a point or an instant can go away or move.
  var nameLasts: Bool {
    switch self {
    case .machine, .link, .point, .shelf, .drills, .branch: false
    case .root, .machineDocument, .points, .instants, .pointDocument, .image: true
    }
  }

  /// The number this place has unless another place took it first.
  ///
  /// It depends on nothing but the place, so that an inode which the kernel forgets and asks for
  /// again, or finds in another mount of the same vault, keeps its number.
  var preferredNumber: InodeNumber {
    var hash = PlaceHash()
    switch self {
    case .root: return .root
    case .machine(let machine): hash.add(1, machine)
    case .machineDocument(let machine): hash.add(2, machine)
    case .link(let machine, let link): hash.add(link == .latest ? 3 : 4, machine)
    case .points(let machine): hash.add(5, machine)
    case .instants(let machine): hash.add(6, machine)
    case .point(let place): hash.add(7, place)
    case .pointDocument(let place): hash.add(8, place)
    case .image(let place): hash.add(place)
    case .shelf(let shelf): hash.add(byte: shelf == .drills ? 10 : 11)
    case .drills(let machine): hash.add(12, machine)
    case .branch(let branch): hash.add(13, branch)
    }
    return hash.number
  }
}

/// FNV-1a over 64 bits (www.isthe.com/chongo/tech/comp/fnv): short, and the same in every process.
private struct PlaceHash {
  private var value: UInt64 = 0xCBF2_9CE4_8422_2325

  mutating func add(byte: UInt8) { value = (value ^ UInt64(byte)) &* 0x100_0000_01B3 }

  private mutating func add(_ word: UInt64) {
    for shift in stride(from: UInt64(0), to: 64, by: 8) {
      add(byte: UInt8(truncatingIfNeeded: word >> shift))
    }
  }

  mutating func add(_ tag: UInt8, _ machine: Identifier) {
    add(byte: tag)
    add(machine.high)
    add(machine.low)
  }

  mutating func add(_ tag: UInt8, _ place: PointPlace) {
    add(tag, place.cut.machine)
    add(place.cut.sequence.rawValue)
    for byte in (place.asked ?? "").utf8 { add(byte: byte) }
  }

  mutating func add(_ place: ImagePlace) {
    add(9, place.cut.machine)
    add(place.cut.sequence.rawValue)
    add(UInt64(place.name.disk))
    switch place.name.form {
    case .raw: add(byte: 0)
    case .vhd: add(byte: 1)
    case .partition(let number): add(UInt64(truncatingIfNeeded: number) << 8 | 2)
    }
  }

  /// Positive in 64 signed bits, and neither 0 nor the root's 1.
  var number: InodeNumber { InodeNumber(rawValue: max(2, value >> 1)) }
}
