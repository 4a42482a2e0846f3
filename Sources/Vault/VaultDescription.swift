public import Bytes
public import Codecs
internal import FileIO
internal import FoundationEssentials

/// What `vault.json` says: the vault's identity, for a person to read.
public struct VaultDescription: Hashable, Sendable {
  /// Identifies the vault; part of every checksum in it.
  public let id: Identifier
  /// The vault's friendly name.
  public let name: String
  /// When it was made.
  public let created: Timestamp
  /// The version of its format.
  public let formatVersion: Int
  /// How cells are compressed.
  public let codec: Codec

  static let fileName = "vault.json"

  private struct Document: Codable {
    var format: String
    var version: Int
    var id: String
    var name: String
    var created: String
    var codec: String
    var checksum: String
  }

  init(id: Identifier, name: String, created: Timestamp, codec: Codec) {
    (self.id, self.name, self.created, self.codec) = (id, name, created, codec)
    formatVersion = Int(Format.version)
  }

  private var checksum: String {
    let text = "\(formatVersion)\n\(id)\n\(name)\n\(created.iso8601)\n\(codec.name)"
    let value = Array(text.utf8).withUnsafeBytes { Checksum.of($0) }
    return String(value, radix: 16)
  }

  func encode() throws(VaultError) -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
    let document = Document(
      format: "tidemark-vault", version: formatVersion, id: id.description, name: name,
      created: created.iso8601, codec: codec.name, checksum: checksum)
    do {
      return Array(try encoder.encode(document)) + [UInt8(ascii: "\n")]
    } catch {
      throw VaultError(.invalid, "The vault's description can't be written: \(error).")
    }
  }

  /// Reads the description in a vault's directory.
  init(readingFrom directory: String, on system: FileSystem) throws(VaultError) {
    let path = directory + "/" + Self.fileName
    let bytes: [UInt8]
    do throws(IOError) {
      bytes = try system.readFile(path, limit: 65536)
    } catch {
      guard error.isMissing else { throw VaultError(error) }
      throw VaultError(
        .notAVault,
        "'\(directory)' is no vault: it holds no '\(Self.fileName)'. "
          + "Make one with 'tidemark vault init \(directory)'.", cause: error)
    }
    guard let document = try? JSONDecoder().decode(Document.self, from: Data(bytes)),
      document.format == "tidemark-vault"
    else {
      throw VaultError(
        .notAVault,
        "'\(path)' does not describe a vault. If the directory was one, "
          + "run 'tidemark vault rebuild'.")
    }
    guard document.version <= Int(Format.version) else {
      throw VaultError(
        .newerVersion,
        "The vault '\(directory)' has format version \(document.version); this "
          + "tidemark reads up to \(Format.version). Use a newer tidemark.")
    }
    guard let id = Identifier(document.id), let codec = Codec(name: document.codec),
      case .absolute(let created) = Instant(document.created)
    else { throw Self.damage(path) }
    self.init(id: id, name: document.name, created: created, codec: codec)
    guard checksum == document.checksum else { throw Self.damage(path) }
  }

  private static func damage(_ path: String) -> VaultError {
    VaultError(
      .damaged,
      "'\(path)' is damaged: its checksum does not fit. "
        + "Run 'tidemark vault rebuild' to make it anew.")
  }
}
