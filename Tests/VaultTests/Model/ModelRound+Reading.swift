import Bytes
import FileIO
import Support
import Testing

@testable import Vault

/// Comparing what the vault answers with what the model knows.
extension ModelRound {
  /// Compares a range of a disk.
  func compare(
    _ reader: any DiskContent, _ index: Int, _ expected: ModelDisks, _ range: Range<Int>,
    _ what: String
  ) throws {
    var bytes = [UInt8](repeating: 0xAA, count: range.count)
    try bytes.withUnsafeMutableBytes { try reader.read(into: $0, at: UInt64(range.lowerBound)) }
    let wanted = expected.bytes(index, range)
    let difference = bytes.withUnsafeBytes { bytes in
      wanted.withUnsafeBytes { bytes.firstDifference(from: $0) }
    }
    guard let difference else { return }
    throw ModelFailure(
      "\(what): disk \(numbers[index]) differs at \(range.lowerBound + difference) in \(range)")
  }

  /// A range of a disk of `size` bytes: mostly short, sometimes all of it, aligned or not.
  func randomRange(_ size: Int) -> Range<Int> {
    guard !random.once(in: 8) else { return 0..<size }
    let unit = [1, 512, 4096, 65536][random.number(0..<4)]
    let start = min(size, random.number(0..<size / unit + 1) * unit)
    let length = random.once(in: 3) ? random.number(0..<200_000) : random.number(0..<20) * unit
    return start..<min(size, start + length)
  }

  /// The list of points, seen by `machine`, against the model's.
  func comparePoints(_ machine: Machine) throws -> MachineSnapshot {
    let snapshot = try machine.snapshot()
    guard snapshot.points == points.map(\.point) else {
      throw ModelFailure(
        "points \(snapshot.points.map(\.sequence.rawValue)) instead of "
          + "\(points.map(\.point.sequence.rawValue))")
    }
    return snapshot
  }

  /// Reads some ranges at some points.
  func readPoints(_ count: Int, by machine: Machine) throws {
    let snapshot = try comparePoints(machine)
    guard !points.isEmpty else { return }
    for _ in 0..<count {
      let model = points[random.number(0..<points.count)]
      for disk in model.point.disks {
        guard let index = numbers.firstIndex(of: disk.number) else { continue }
        let reader = try snapshot.disk(disk.number, at: model.point)
        guard reader.size == disk.size else { throw ModelFailure("size of \(model.point.id)") }
        try compare(
          reader, index, model.disks, randomRange(Int(disk.size)), "point \(model.point.id)")
        if random.once(in: 4) { try compareHoles(reader, index, model.disks) }
      }
    }
  }

  /// Asks for data and holes from random places.
  func compareHoles(_ reader: DiskReader, _ index: Int, _ expected: ModelDisks) throws {
    for _ in 0..<3 {
      let place = UInt64(random.number(0..<Int(reader.size)))
      let data = try reader.nextData(from: place)
      guard data == expected.next(index, from: place, size: reader.size, isData: true) else {
        throw ModelFailure(
          "data after \(place) of disk \(numbers[index]): \(String(describing: data))")
      }
      let hole = try reader.nextHole(from: place)
      let wanted = expected.next(index, from: place, size: reader.size, isData: false)
      guard hole == wanted ?? reader.size else {
        throw ModelFailure("hole after \(place) of disk \(numbers[index]): \(hole)")
      }
    }
  }

  /// Reads what was stored so far, by the writer.
  func readHead() throws {
    let index = random.number(0..<numbers.count)
    var reader: DiskReader?
    let isDone = try attempt("head", { _ in }) {
      reader = try writer.head(numbers[index], size: sizes[index])
    }
    guard isDone, let reader else { return try restart() }
    try compare(reader, index, head, randomRange(Int(sizes[index])), "head")
    if random.once(in: 3) { try compareHoles(reader, index, head) }
  }

  /// Opens a disk at a point and keeps it open.
  func hold() throws {
    guard !points.isEmpty else { return }
    if held.count >= 6 { held.remove(at: random.number(0..<held.count)) }
    let place = random.number(0..<points.count)
    let machine = random.once(in: 2) ? observer : writer.machine
    let snapshot = try comparePoints(machine)
    let disk = points[place].point.disks[0]
    guard let index = numbers.firstIndex(of: disk.number) else { return }
    held.append((try snapshot.disk(disk.number, at: points[place].point), place, index))
    note("hold \(points[place].point.id)")
  }

  /// What was opened long ago still reads as it did.
  func readHeld() throws {
    for (reader, place, index) in held {
      try compare(
        reader, index, points[place].disks, randomRange(Int(reader.size)), "a reader kept open")
    }
  }

  /// Reads a whole disk at every point, and checks all that is stored.
  func checkEverything() throws {
    let machine = try Self.observer(of: disk)
    try readEverything(try comparePoints(machine), "at the end")
    let report = try MachineCheck(machine).run()
    guard report.isIntact else { throw ModelFailure("verify found \(report.damages)") }
  }

  private func readEverything(_ snapshot: MachineSnapshot, _ what: String) throws {
    for (place, model) in points.enumerated() {
      let disk = model.point.disks[place % model.point.disks.count]
      guard let index = numbers.firstIndex(of: disk.number) else { continue }
      let reader = try snapshot.disk(disk.number, at: snapshot.points[place])
      try compare(reader, index, model.disks, 0..<Int(disk.size), what)
    }
  }

  /// Loses the MANIFEST: it is made anew from the segments, and nothing is missing.
  func rebuild() throws {
    // A crash gives up the locks.
    disk.crash(.nothing)
    try disk.fileSystem.remove(writer.machine.manifestPath)
    let outcomes = try Rebuild.run(at: Self.path, on: disk.fileSystem)
    guard outcomes.count == 1, outcomes[0].warnings.isEmpty else {
      throw ModelFailure("rebuild says \(outcomes)")
    }
    let machine = try Vault(opening: Self.path, on: disk.fileSystem).machines()[0]
    let snapshot = try machine.snapshot()
    let expected = points.map { model in
      var point = model.point
      point.locked = true
      return point
    }
    guard snapshot.points == expected else {
      throw ModelFailure(
        "rebuilt points \(snapshot.points.map(\.sequence.rawValue)) instead of "
          + "\(expected.map(\.sequence.rawValue))")
    }
    try readEverything(snapshot, "after a rebuild")
    lock = try Vault(opening: Self.path, on: disk.fileSystem).lock()
    writer = try Self.open(disk, clock, limits, lock)
    guard writer.lastSequence.rawValue == acknowledged else {
      throw ModelFailure("the rebuilt log ends at \(writer.lastSequence), not \(acknowledged)")
    }
    for index in numbers.indices {
      let reader = try writer.head(numbers[index], size: sizes[index])
      try compare(reader, index, head, 0..<Int(sizes[index]), "the end of the rebuilt log")
    }
    let report = try MachineCheck(try Self.observer(of: disk)).run()
    guard report.isIntact else {
      throw ModelFailure("after a rebuild verify found \(report.damages)")
    }
  }
}
