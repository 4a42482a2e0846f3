public import Bytes
internal import GRDB

/// That a machine's replica can't be gone on from until everything was compared with it.
public struct ResynchronisationRecord: Codable, Hashable, Sendable {
  /// How far that is.
  public enum State: String, Codable, Sendable, CaseIterable {
    /// It has not begun: nothing is replicated.
    case required
    /// It runs, or goes on as soon as the agent is there.
    case running
  }

  /// The machine.
  public var machine: Identifier
  /// How far it is.
  public var state = State.required
  /// Why, in sentences.
  public var reason: String
  /// Since when it is required.
  public var since: Timestamp
  /// Whether it was cancelled, so that only a person begins it again.
  public var isHeld = false
  /// The job that tells how far it is, while it runs.
  public var job: Int64?

  /// One that is required from now on.
  public init(machine: Identifier, reason: String, since: Timestamp) {
    (self.machine, self.reason, self.since) = (machine, reason, since)
  }
}

extension ResynchronisationRecord: Kept {
  static var table: String { "resynchronisation" }
}

extension Catalog {
  /// Keeps that a machine has to be resynchronised, in the place of what was.
  public func set(_ record: ResynchronisationRecord) throws(CatalogError) { try put(record) }

  /// Whether a machine has to be resynchronised, and why; nil if not.
  public func resynchronisation(
    of machine: Identifier
  ) throws(CatalogError) -> ResynchronisationRecord? {
    try first(ResynchronisationRecord.self, where: "machine = ?", [machine.description])
  }

  /// All machines that have to be resynchronised, those of longest standing first.
  public func resynchronisations() throws(CatalogError) -> [ResynchronisationRecord] {
    try all(ResynchronisationRecord.self, by: "since")
  }

  /// Forgets that a machine has to be resynchronised.
  public func removeResynchronisation(of machine: Identifier) throws(CatalogError) {
    try change("DELETE FROM resynchronisation WHERE machine = ?", [machine.description])
  }
}
