public import Bytes
internal import GRDB

/// How the replication of a machine went for a while: a point of the curves that are kept.
public struct HealthSample: Codable, Hashable, Sendable {
  /// What changed on a disk.
  public struct Churn: Codable, Hashable, Sendable {
    /// Which disk.
    public var disk: Int
    /// Bytes of pages found changed.
    public var bytes: Int64

    /// What changed on a disk.
    public init(disk: Int, bytes: Int64) { (self.disk, self.bytes) = (disk, bytes) }
  }

  /// The machine.
  public var machine: Identifier
  /// When the while ended.
  public var time: Timestamp
  /// How long it was, in seconds.
  public var seconds: Int64
  /// The age of the newest recovery point at its end, in seconds; nil if there was none.
  public var rpoSeconds: Int64?
  /// What changed, disk by disk.
  public var churn: [Churn]
  /// Bytes that came from the agent.
  public var uploaded: Int64
  /// Nanoseconds that the agent waited for its disks.
  public var reading: Int64
  /// Nanoseconds that it compressed.
  public var compressing: Int64
  /// Nanoseconds that it waited for the link or the vault.
  public var sending: Int64
  /// Nanoseconds that the vault took to make things durable.
  public var storing: Int64

  /// A while in which nothing happened.
  public init(machine: Identifier, time: Timestamp, seconds: Int64) {
    (self.machine, self.time, self.seconds) = (machine, time, seconds)
    (churn, uploaded, reading, compressing, sending, storing) = ([], 0, 0, 0, 0, 0)
  }
}

extension HealthSample: Kept {
  static var table: String { "healthSample" }
}

extension Catalog {
  /// Seconds for which samples are kept: a week.
  public static let sampleSeconds: Int64 = 7 * 86400

  /// Keeps samples, and forgets those that are too old by them.
  public func add(_ samples: [HealthSample]) throws(CatalogError) {
    guard let newest = samples.map(\.time).max() else { return }
    let oldest = Timestamp(seconds: newest.seconds - Self.sampleSeconds)
    try write { database in
      for sample in samples { try Stored(sample).upsert(database) }
      try database.execute(
        sql: "DELETE FROM healthSample WHERE time < ?", arguments: [oldest.rawValue])
    }
  }

  /// The samples of a machine since a moment, the oldest first.
  public func samples(
    of machine: Identifier, since start: Timestamp
  ) throws(CatalogError) -> [HealthSample] {
    try all(
      HealthSample.self, where: "machine = ? AND time >= ?", by: "time",
      [machine.description, start.rawValue])
  }

  /// Forgets the samples of a machine.
  public func removeSamples(of machine: Identifier) throws(CatalogError) {
    try change("DELETE FROM healthSample WHERE machine = ?", [machine.description])
  }
}
