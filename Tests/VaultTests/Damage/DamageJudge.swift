import Bytes
import FileIO
import Support

@testable import Vault

/// What a damaged vault answers, compared with what it answered before: right bytes or an error, and
/// never an error that verify does not name.
struct DamageJudge {
  let sample: SampleVault
  var random: SeededGenerator

  /// What was found wrong with the answers.
  struct Verdict: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
  }

  /// What the damage did.
  struct Effect {
    /// Opening the machine failed.
    var isClosed = false
    /// Points are missing from the list.
    var missing = 0
    /// Pages that can't be read, at the points that were looked at.
    var unreadable = 0
    /// The most of them at one point.
    var mostAtOnePoint = 0
    /// What verify said.
    var damages: [Damage] = []

    var isFound: Bool { isClosed || !damages.isEmpty }
  }

  /// Reads and checks everything: some `count` points besides those that verify names. With `namesAll`
  /// the list must be whole, and verify must name every page that can't be read.
  mutating func judge(points count: Int, namesAll: Bool) throws -> Effect {
    var effect = Effect()
    let machine: Machine
    let snapshot: MachineSnapshot
    do {
      machine = try sample.machine()
      snapshot = try machine.snapshot()
    } catch let error as VaultError {
      guard !namesAll, error.code == .damaged || error.cause?.isMissing == true else { throw error }
      effect.isClosed = true
      return effect
    }
    try compareList(snapshot, namesAll, &effect)
    let report = try MachineCheck(machine).run()
    effect.damages = report.damages
    let known = Set(snapshot.points)
    let named = effect.damages.filter(\.hurtsReads).flatMap {
      [$0.points.first, $0.points.last, $0.points.randomElement(using: &random)]
    }
    var hurt: Set<String> = []
    for model in sample.points where known.contains(model.point) {
      guard named.contains(model.point.id) || random.once(in: max(1, sample.points.count / count))
      else { continue }
      let before = effect.unreadable
      try read(model, snapshot, namesAll, &effect)
      effect.mostAtOnePoint = max(effect.mostAtOnePoint, effect.unreadable - before)
      if effect.unreadable > before { hurt.insert(model.point.id) }
    }
    for damage in effect.damages where namesAll && damage.hurtsReads {
      guard !hurt.isDisjoint(with: damage.points) else {
        throw Verdict("verify names \(damage), and all of it can be read")
      }
    }
    let isNewestHurt = snapshot.points.last.map { hurt.contains($0.id) } ?? false
    guard !namesAll || isNewestHurt == (report.newestDamage != nil) else {
      throw Verdict(
        "the newest point is \(isNewestHurt ? "" : "not ")hurt, and verify says otherwise")
    }
    return effect
  }

  private func compareList(
    _ snapshot: MachineSnapshot, _ namesAll: Bool, _ effect: inout Effect
  ) throws {
    let expected = sample.points.map(\.point)
    effect.missing = expected.count - snapshot.points.count
    guard snapshot.points != expected else { return }
    guard !namesAll else { throw Verdict("the list of points has changed") }
    guard Set(snapshot.points).isSubset(of: expected) else { throw Verdict("wrong points") }
  }

  /// Reads all disks at a point, in blocks; where one fails, page by page.
  private func read(
    _ model: ModelPoint, _ snapshot: MachineSnapshot, _ namesAll: Bool, _ effect: inout Effect
  ) throws {
    for (index, disk) in model.point.disks.enumerated() {
      let reader = try snapshot.disk(disk.number, at: model.point)
      for start in stride(from: 0, to: Int(disk.size), by: Layout.blockSize) {
        let block = start..<min(start + Layout.blockSize, Int(disk.size))
        if try isRight(reader, model, index, block) { continue }
        for start in stride(from: start, to: block.upperBound, by: Layout.pageSize) {
          let page = start..<min(start + Layout.pageSize, block.upperBound)
          if try isRight(reader, model, index, page) { continue }
          effect.unreadable += 1
          guard namesAll else { continue }
          let isNamed = effect.damages.contains {
            $0.points.contains(model.point.id) && $0.disk ?? disk.number == disk.number
              && ($0.range ?? 0..<(.max)).contains(UInt64(start))
          }
          guard isNamed else {
            throw Verdict(
              "verify does not name byte \(start) of disk \(disk.number) at \(model.point.id), "
                + "which can't be read; it says \(effect.damages)")
          }
        }
      }
    }
  }

  /// Whether a range reads as it should; false if it is said to be damaged.
  private func isRight(
    _ reader: DiskReader, _ model: ModelPoint, _ index: Int, _ range: Range<Int>
  ) throws -> Bool {
    var bytes = [UInt8](repeating: 0xAA, count: range.count)
    do {
      try bytes.withUnsafeMutableBytes {
        try reader.readPages(into: $0, at: UInt64(range.lowerBound))
      }
    } catch let error as VaultError {
      guard error.code == .damaged else { throw error }
      return false
    }
    let wanted = model.disks.bytes(index, range)
    let difference = bytes.withUnsafeBytes { bytes in
      wanted.withUnsafeBytes { bytes.firstDifference(from: $0) }
    }
    guard let difference else { return true }
    throw Verdict(
      "wrong byte \(range.lowerBound + difference) of disk \(reader.number) at \(model.point.id)")
  }
}
