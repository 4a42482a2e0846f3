import Bytes
import FileIO
import Support
import Testing

@testable import Vault

/// Breaking the disk under the vault, and starting again after it broke.
extension ModelRound {
  /// Prepares a fault that strikes in one of the next calls, or strikes at once.
  func breakSomething() throws {
    switch random.number(0..<10) {
    case 0...3:
      cutPower(after: random.number(0..<25))
    case 4...5:
      let (count, after) = (random.number(1..<3), random.number(0..<6))
      note("\(count) syncs will fail after \(after)")
      disk.failSyncs(count, after: after)
    case 6...7:
      let room = random.number(0..<12) * 65536
      note("\(room) bytes are left")
      disk.setCapacity(1 << 40)
      disk.setCapacity(1 << 40 - (try disk.fileSystem.space(at: "/").free) + UInt64(room))
    case 8: return try restart(crashing: false)
    default: return try restart(crashing: true)
    }
    isArmed = true
  }

  /// Lets the power go in the middle of a call to come.
  func cutPower(after calls: Int) {
    note("the power will go after \(calls) changes")
    disk.cutPower(after: calls)
    (isDoomed, isArmed) = (true, true)
  }

  /// Starts again after a call has failed, or for no reason at all.
  func restart(crashing: Bool? = nil) throws {
    if crashing == nil, !disk.isOff, random.once(in: 3), try commit(), !writer.isBroken,
      !writer.manifest.isBroken
    {
      // The same writer may go on, for now everything it was given is durable.
      note("the writer goes on")
      return mend()
    }
    if random.once(in: 3) {
      note("another writer tries before anything is put right")
      _ = try? Self.open(disk, clock, limits, lock)
    }
    mend()
    var crashes = crashing ?? random.once(in: 2)
    while true {
      if crashes || disk.isOff { try crash() } else { try forget() }
      do {
        return try reopen()
      } catch let error as VaultError {
        guard disk.isOff else { throw error }
        crashes = true
      }
    }
  }

  /// Takes away every fault but a loss of power.
  private func mend() {
    disk.failSyncs(0)
    disk.setCapacity(nil)
    isArmed = isDoomed
  }

  /// The process ends; what a failed sync has dropped may still be seen, or not.
  private func forget() throws {
    note("the process ends")
    guard random.once(in: 2) else { return }
    note("only what is on the disk is seen now")
    disk.dropCaches()
    held = []
  }

  /// Loses power. Readers see the same from then on, also if the power goes again while a writer puts
  /// the log in order.
  private func crash() throws {
    note("crash")
    held = []
    repeat {
      disk.crash()
      (isArmed, isDoomed) = (false, false)
      lock = try Vault(opening: Self.path, on: disk.fileSystem).lock()
      let machine = try Self.observer(of: disk)
      try adopt(try look(at: machine))
      _ = try comparePoints(machine)
      guard random.once(in: 3) else { return }
      let calls = random.number(0..<14)
      note("the power will go after \(calls) changes, while the log is put in order")
      disk.cutPower(after: calls)
      _ = try? Self.open(disk, clock, limits, lock)
    } while true
  }

  /// What a reader finds must be one of the states since the newest that was acknowledged.
  private func look(at machine: Machine) throws -> MachineSnapshot {
    let snapshot = try machine.snapshot()
    let last = snapshot.lastSequence.rawValue
    guard last >= acknowledged else {
      throw ModelFailure("number \(acknowledged) was acknowledged, and the newest is \(last)")
    }
    guard states[last] != nil else { throw ModelFailure("nothing ended with number \(last)") }
    return snapshot
  }

  /// Goes on from what was found.
  private func adopt(_ snapshot: MachineSnapshot) throws {
    let last = snapshot.lastSequence.rawValue
    guard let state = states[last] else { throw ModelFailure("nothing ended with number \(last)") }
    for (sequence, new) in attempts.sorted(by: { $0.key < $1.key }) where sequence <= last {
      guard let made = snapshot.points.first(where: { $0.sequence.rawValue == sequence }),
        made.label == new.label, Set(made.disks) == Set(new.disks), let then = states[sequence]
      else { continue }
      add(made, then)
    }
    (head, acknowledged, states, attempts) = (state, last, [last: state], [:])
    note("found \(last)")
  }

  private func reopen() throws {
    let seen = try look(at: try Self.observer(of: disk))
    writer = try Self.open(disk, clock, limits, lock)
    guard writer.lastSequence == seen.lastSequence, writer.points == seen.points else {
      throw ModelFailure(
        "readers saw \(seen.lastSequence) and \(seen.points.count) points, the writer "
          + "\(writer.lastSequence) and \(writer.points.count)")
    }
    try adopt(seen)
    observer = try Self.observer(of: disk)
    _ = try comparePoints(observer)
    for index in numbers.indices {
      let reader = try writer.head(numbers[index], size: sizes[index])
      try compare(reader, index, head, 0..<Int(sizes[index]), "what is there after a restart")
    }
  }
}
