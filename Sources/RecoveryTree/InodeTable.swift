internal import Bytes
internal import Vault

/// How a directory that shows a cut was come by.
struct Visit: Sendable {
  let point: RecoveryPoint
  /// The instant that was asked for; nil under `points/`.
  let asked: Timestamp?
  /// How far the cut lies before `asked`, in nanoseconds.
  let distance: Int64?
  /// Whether the instant lay beyond what the source vouches for, and was moved to its end.
  let clamped: Bool

  init(_ point: RecoveryPoint) {
    self.point = point
    (asked, distance, clamped) = (nil, nil, false)
  }

  init(_ resolved: ResolvedPoint) {
    point = resolved.point
    (asked, distance, clamped) = (resolved.asked, resolved.distance, resolved.clamped)
  }
}

/// A place and what was found out when it was looked up.
struct Node: Sendable {
  let place: Place
  /// The cut shown here; of every `.point`, `.pointDocument` and `.image`.
  var visit: Visit?
  /// Bytes of an `.image`.
  var size: UInt64 = 0
}

/// The inodes the kernel holds, by number.
///
/// The kernel counts its look-ups of each and gives them back (fuse(4), FUSE_FORGET), so the table
/// is as large as the kernel's own cache of inodes, whatever the number of points.
struct InodeTable: ~Copyable {
  private struct Row {
    var node: Node
    var lookups: UInt64
  }

  private var rows: [InodeNumber: Row]
  /// Inverse of `rows`: a place keeps its number while it is held, even if it was not its first choice.
  private var numbers: [Place: InodeNumber]

  init() {
    rows = [.root: Row(node: Node(place: .root), lookups: 1)]
    numbers = [.root: .root]
  }

  var count: Int { rows.count }

  subscript(number: InodeNumber) -> Node? { rows[number]?.node }

  /// The number the place has, or would get.
  func number(of place: Place) -> InodeNumber { number(of: place, place.preferredNumber) }

  private func number(of place: Place, _ preferred: InodeNumber) -> InodeNumber {
    if let number = numbers[place] { return number }
    var number = preferred
    while rows[number] != nil {
      number.rawValue = max(2, (number.rawValue + 1) & (.max >> 1))
    }
    return number
  }

  /// Counts one look-up of the node, which replaces what was known of its place. It gets the
  /// preferred number (nil: its place's own) unless it has one, or another place has that.
  mutating func enter(_ node: Node, as preferred: InodeNumber? = nil) -> InodeNumber {
    let number = number(of: node.place, preferred ?? node.place.preferredNumber)
    let lookups = rows[number]?.lookups ?? 0
    rows[number] = Row(node: node, lookups: lookups + 1)
    numbers[node.place] = number
    return number
  }

  /// Takes back look-ups; without any left the inode is gone. The root stays.
  mutating func forget(_ number: InodeNumber, lookups: UInt64) {
    guard number != .root, var row = rows[number] else { return }
    if row.lookups > lookups {
      row.lookups -= lookups
      rows[number] = row
    } else {
      rows[number] = nil
      numbers[row.node.place] = nil
    }
  }
}
