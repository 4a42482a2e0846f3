internal import Bytes
internal import Codecs
internal import Operations
internal import Vault

/// A vault, as text and as JSON.
struct VaultReport {
  let vault: VaultSummary
  /// Whether the user's configuration knows its friendly name; nil where that is not the question.
  var registered: Bool?

  struct Document: Encodable {
    let path: String
    let name: String
    let id: String
    let created: String
    let formatVersion: Int
    let codec: String
    let machines: Int
    let points: Int
    let storedBytes: UInt64
    let freeBytes: UInt64
    let totalBytes: UInt64
    let registered: Bool?
  }

  private var points: Int { vault.machines.reduce(0) { $0 + $1.points.count } }

  var document: Document {
    let description = vault.description
    return Document(
      path: vault.path, name: description.name, id: description.id.description,
      created: description.created.iso8601, formatVersion: description.formatVersion,
      codec: description.codec.name, machines: vault.machines.count, points: points,
      storedBytes: vault.stored, freeBytes: vault.free, totalBytes: vault.total,
      registered: registered)
  }

  var text: String {
    let description = vault.description
    return Words.facts([
      ("Vault", description.name), ("Directory", vault.path),
      ("Id", description.id.description), ("Created", description.created.iso8601),
      ("Format", "version \(description.formatVersion), codec \(description.codec.name)"),
      ("Machines", String(vault.machines.count)), ("Recovery points", String(points)),
      ("Stored", Words.size(vault.stored)),
      ("Free", "\(Words.size(vault.free)) of \(Words.size(vault.total))"),
    ])
  }
}
