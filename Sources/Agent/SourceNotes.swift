internal import Bytes
internal import Capture
internal import FileIO
internal import FoundationEssentials
internal import Vault

/// What an agent durably knows of its disks' sources as of the newest recovery point, and of what it was
/// about when it was last heard of: `sources.json`. Replaced as a whole, so that after a crash the old
/// or the new one is there.
struct SourceNotes: Codable, Hashable, Sendable {
  /// The machine's identifier.
  var machine = ""
  /// A cycle was begun since the newest recovery point: digests may be missing because of it.
  var isCycling = false
  /// What was stored since the newest recovery point, and the clones made since, are of a
  /// resynchronisation: it goes on from these.
  var isResynchronising = false
  /// The cycle of the recovery point that this resynchronisation came after: while that is the newest one, it
  /// is the same resynchronisation still. Nil if there was none.
  var resynchronisedAfter: UInt64?
  /// The disks, as of the newest recovery point.
  var sources: [SourceNote] = []

  /// What is noted of a disk.
  func source(of disk: DiskNumber) -> SourceNote? { sources.first { $0.disk == Int(disk) } }
}

extension AgentDirectory {
  private var notesPath: String { path + "/sources.json" }

  /// What is noted of the machine's disks; nothing if that is lost or of another machine, which alone
  /// is no reason to doubt: what tells changed blocks has a number of its own.
  func sourceNotes(of machine: Identifier) -> SourceNotes {
    guard let bytes = try? system.readFile(notesPath, limit: 1 << 20),
      let notes = try? JSONDecoder().decode(SourceNotes.self, from: Data(bytes)),
      notes.machine == machine.description
    else { return SourceNotes(machine: machine.description) }
    return notes
  }

  /// Replaces what is noted; durable when it returns.
  func save(_ notes: SourceNotes) throws(AgentError) {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    let bytes: [UInt8]
    do { bytes = Array(try encoder.encode(notes)) } catch {
      throw AgentError(.state, "What is known of the disks can't be written: \(error).")
    }
    try inFile { () throws(IOError) in
      try system.replaceFile(notesPath, with: bytes, permissions: 0o600)
    }
  }
}
