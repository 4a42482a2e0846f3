internal import FileIO
internal import FoundationEssentials

/// The friendly names of vaults that one user knows, kept in `tidemark/vaults.json` in the user's
/// configuration directory.
public struct VaultRegistry: Sendable {
  /// The file; nil for a user without a home.
  public let path: String?

  private struct Document: Codable {
    var vaults: [String: String]
  }

  /// The registry of the user with these variables, by the XDG base directory specification:
  /// `XDG_CONFIG_HOME`, or `.config` in `HOME`.
  public init(configurationHome: String?, home: String?) {
    let base: String?
    if let configurationHome, configurationHome.hasPrefix("/") {
      base = configurationHome
    } else {
      base = home.flatMap { $0.hasPrefix("/") ? $0 + "/.config" : nil }
    }
    path = base.map { $0 + "/tidemark/vaults.json" }
  }

  /// The vaults' directories by friendly name; empty if nothing was noted yet.
  public func vaults() throws(OperationError) -> [String: String] {
    guard let path else { return [:] }
    let bytes: [UInt8]
    do throws(IOError) { bytes = try FileSystem.system.readFile(path, limit: 1 << 20) } catch {
      guard !error.isMissing else { return [:] }
      throw OperationError(error)
    }
    guard let document = try? JSONDecoder().decode(Document.self, from: Data(bytes)) else {
      throw OperationError(
        .failed,
        "'\(path)' is not what tidemark wrote there. Mend or remove it: it only holds the friendly "
          + "names of vaults, which '--vault DIR' does without.")
    }
    return document.vaults
  }

  /// Notes a vault's directory under its friendly name; after a crash the file is the old or the new.
  ///
  /// - Returns: false if there is no place to note it.
  func note(_ name: String, at directory: String) throws(OperationError) -> Bool {
    guard let path else { return false }
    var known = try vaults()
    known[name] = directory
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    guard let json = try? encoder.encode(Document(vaults: known)) else { return false }
    let parent = FileSystem.parent(of: path)
    try inSystem { () throws(IOError) in
      for directory in [FileSystem.parent(of: parent), parent]
      where !FileSystem.system.exists(directory) {
        try FileSystem.system.makeDirectory(directory, permissions: 0o700)
      }
      try FileSystem.system.replaceFile(
        path, with: Array(json) + [UInt8(ascii: "\n")], permissions: 0o600)
    }
    return true
  }
}
