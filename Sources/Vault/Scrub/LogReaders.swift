internal import Bytes

/// What can't be read any more because of a damage.
struct Hurt {
  /// The ids of recovery points, the oldest first.
  var points: [String] = []
  /// Branches, as they are now.
  var branches: [Identifier] = []

  var isEmpty: Bool { points.isEmpty && branches.isEmpty }
}

/// All that is read from a log, to tell which of it a damage hurts: of a machine's its recovery points and the
/// branches that stand on it, of a branch's the branch itself.
struct LogReaders {
  /// A branch that is read from the log.
  struct Branch {
    let id: Identifier
    /// The newest number that it sees of this log.
    let limit: SequenceNumber
    /// Its disks as they are; nil if they can't be read: then whatever it sees is taken for something that it
    /// needs.
    let cut: BranchCut?
  }

  /// The machine; nil for the log of a branch, which has no points.
  let snapshot: MachineSnapshot?
  let branches: [Branch]

  private var points: [RecoveryPoint] { snapshot?.points ?? [] }

  /// What sees anything at or after a number, on one disk or on any.
  func hurt(from sequence: UInt64, on disk: DiskNumber? = nil) -> Hurt {
    Hurt(
      points: points.filter { point in
        point.sequence.rawValue >= sequence
          && disk.map { point.size(of: $0) != nil } ?? true
      }.map(\.id),
      branches: branches.filter { branch in
        branch.limit.rawValue >= sequence
          && disk.map { Self.size(of: $0, in: branch) > 0 } ?? true
      }.map(\.id))
  }

  /// The largest size of a disk among what sees anything at or after a number; 0 if nothing does.
  func end(of disk: DiskNumber, from sequence: UInt64) -> UInt64 {
    let sizes =
      points.filter { $0.sequence.rawValue >= sequence }.compactMap { $0.size(of: disk) }
      + branches.filter { $0.limit.rawValue >= sequence }.map { Self.size(of: disk, in: $0) }
    return sizes.max() ?? 0
  }

  private static func size(of disk: DiskNumber, in branch: Branch) -> UInt64 {
    guard let cut = branch.cut else { return Layout.largestDisk }
    return (try? cut.disk(disk))?.size ?? 0
  }

  /// What reads these pages of a block from the record with that number.
  func hurt(
    reading pages: UInt16, of block: UInt64, on disk: DiskNumber, sequence: UInt64
  ) -> Hurt {
    let branches = branches.filter { branch in
      guard branch.limit.rawValue >= sequence else { return false }
      guard let cut = branch.cut else { return true }
      guard let reader = (try? cut.disk(disk))?.reader else { return false }
      return Self.reads(reader, pages, of: block, sequence)
    }
    return Hurt(
      points: points(reading: pages, of: block, on: disk, sequence: sequence),
      branches: branches.map(\.id))
  }

  /// By halving: those points follow each other.
  private func points(
    reading pages: UInt16, of block: UInt64, on disk: DiskNumber, sequence: UInt64
  ) -> [String] {
    let points = points.filter { $0.size(of: disk) != nil }
    let first = points.firstIndex { $0.sequence.rawValue >= sequence } ?? points.count
    var (low, high) = (first, points.count)
    while low < high {
      let middle = (low + high) / 2
      let reader = try? snapshot?.disk(disk, at: points[middle])
      if reader.map({ Self.reads($0, pages, of: block, sequence) }) == true {
        low = middle + 1
      } else {
        high = middle
      }
    }
    return points[first..<low].map(\.id)
  }

  private static func reads(
    _ reader: DiskReader, _ pages: UInt16, of block: UInt64, _ sequence: UInt64
  ) -> Bool {
    reader.holders(of: block).contains {
      $0.entry.sequence == sequence && $0.pages & pages != 0
    }
  }
}
