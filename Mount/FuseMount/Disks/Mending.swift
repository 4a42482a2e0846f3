internal import Bytes
internal import Glibc
internal import Synchronization

/// Has disks that could not be made durable opened again, by a successor. `DiskServer` tells what that is for.
final class Mending: Sendable {
  private let estate: Estate
  private let health: @Sendable () -> ServedDisks.Health
  private let stopper: Stopper
  private let isLeaving = Atomic(false)

  init(
    _ estate: Estate, _ stopper: Stopper,
    health: @escaping @Sendable () -> ServedDisks.Health
  ) {
    (self.estate, self.stopper, self.health) = (estate, stopper, health)
  }

  /// Whether what just failed is not to be answered, because a successor will be handed it again.
  func leavesToSuccessor() -> Bool {
    if isLeaving.load(ordering: .acquiring) { return true }
    let health = health()
    guard health.hasEnded, !estate.isEnding else { return false }
    guard health.canMend else {
      noteLoss()
      return false
    }
    guard
      isLeaving.compareExchange(expected: false, desired: true, ordering: .acquiringAndReleasing)
        .exchanged
    else { return true }
    guard !estate.wasReopened else {
      isLeaving.store(false, ordering: .releasing)
      return false
    }
    estate.owedWrites = health.writes
    estate.wasReopened = true
    stopper.stop()
    return true
  }

  /// Notes that disks which can't be mended could not be made durable: no successor lets anything be written.
  func noteLoss() {
    if !health().canMend { estate.owedWrites = Estate.unknownWrites }
  }

  /// Notes that everything is durable.
  func noteFlush() { estate.wasReopened = false }

  /// The disks as a successor may serve them, and what an operator should know.
  static func settle(
    _ served: ServedDisks, _ estate: Estate
  ) -> (disks: [DiskNumber: any WritableDisk], warnings: [String]) {
    guard let owed = estate.owedWrites else { return (served.disks, []) }
    let found = served.health().writes
    guard found < owed else {
      estate.owedWrites = nil
      return (served.disks, [])
    }
    let lost =
      owed == Estate.unknownWrites
      ? "writes may be lost" : "\(owed - found) writes are lost"
    let reason =
      "The disks could not be made durable, and \(lost) that were answered: they can only be read "
      + "until they are served anew. Stop what uses them, look at the disk that the vault lies on, then start it "
      + "again."
    return (served.disks.mapValues { ReadOnlyDisk($0, reason) }, [reason])
  }
}

/// A disk on which some writes are lost that somebody relies on.
private final class ReadOnlyDisk: WritableDisk {
  private struct Refusal: Error, CustomStringConvertible { let description: String }

  private let disk: any WritableDisk
  private let refusal: Refusal

  init(_ disk: any WritableDisk, _ reason: String) {
    (self.disk, refusal) = (disk, Refusal(description: reason))
  }

  var size: UInt64 { disk.size }
  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws {
    try disk.read(into: buffer, at: offset)
  }
  func nextData(from offset: UInt64) throws -> UInt64? { try disk.nextData(from: offset) }
  func nextHole(from offset: UInt64) throws -> UInt64 { try disk.nextHole(from: offset) }
  func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws { throw refusal }
  func zero(_ range: Range<UInt64>) throws { throw refusal }
  func flush() throws { throw refusal }
}
