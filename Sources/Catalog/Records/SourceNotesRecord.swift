public import Bytes
internal import GRDB

/// What was seen of the sources of a machine whose disks are this host's own, at its newest recovery point.
public struct SourceNotesRecord: Codable, Hashable, Sendable {
  /// The machine.
  public var machine: Identifier
  /// A JSON document of the layer above.
  public var notes: String

  /// Notes of a machine.
  public init(machine: Identifier, notes: String) { (self.machine, self.notes) = (machine, notes) }
}

extension SourceNotesRecord: Kept {
  static var table: String { "sourceNotes" }
}

extension Catalog {
  /// Keeps what was seen of a machine's sources, in the place of what was.
  public func set(_ record: SourceNotesRecord) throws(CatalogError) { try put(record) }

  /// What was seen of a machine's sources; nil if nothing was kept.
  public func sourceNotes(of machine: Identifier) throws(CatalogError) -> String? {
    try first(SourceNotesRecord.self, where: "machine = ?", [machine.description])?.notes
  }
}
