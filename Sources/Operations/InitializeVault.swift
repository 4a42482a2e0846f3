public import Codecs
internal import FileIO
public import Vault

/// Makes a vault.
public struct InitializeVault: Sendable {
  /// The directory, which does not exist or is empty.
  public var directory: String
  /// The friendly name; nil to take the directory's.
  public var name: String?
  /// How the vault compresses.
  public var codec: Codec
  /// The group that may read it; nil if only the owner may.
  public var group: UInt32?

  /// Describes the vault to make.
  public init(directory: String, name: String?, codec: Codec, group: UInt32?) {
    (self.directory, self.name, self.codec, self.group) = (directory, name, codec, group)
  }

  /// What was made.
  public struct Result: Sendable {
    /// The vault, open for reading.
    public let vault: Vault
    /// Whether the user's configuration knows it by its friendly name.
    public let isRegistered: Bool
    /// Why it does not, in a sentence.
    public let remark: String?
  }

  /// Makes the vault and notes its friendly name for this user.
  ///
  /// A name that already stands for another vault that exists is refused; that the name could not be
  /// noted is only a remark.
  public func run(registry: VaultRegistry) throws(OperationError) -> Result {
    let path = try absolute(directory)
    let name = self.name ?? Self.defaultName(for: path)
    let known = (try? registry.vaults()[name]) ?? nil
    if let other = known, other != path, (try? Vault(opening: other)) != nil {
      throw OperationError(
        .refused,
        "You know the vault '\(other)' as '\(name)' already. Choose another name with --name.")
    }
    let (codec, group) = (codec, group)
    let vault = try inVault { () throws(VaultError) in
      try Vault.create(at: path, name: name, codec: codec, group: group)
    }
    do throws(OperationError) {
      let noted = try registry.note(name, at: path)
      return Result(
        vault: vault, isRegistered: noted,
        remark: noted ? nil : "You have no home directory, so name the vault with --vault \(path).")
    } catch {
      return Result(
        vault: vault, isRegistered: false,
        remark: "The name could not be noted, so name the vault with --vault \(path). "
          + error.message)
    }
  }

  /// The directory's own name with what no name may hold left out; `vault` if nothing is left.
  static func defaultName(for path: String) -> String {
    let last = path.split(separator: "/").last.map(String.init) ?? ""
    let kept = last.map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "-" }
    var name = Substring(String(kept).prefix(63))
    while name.hasPrefix("-") { name.removeFirst() }
    while name.hasSuffix("-") { name.removeLast() }
    return NameRule.objection(to: String(name)) == nil ? String(name) : "vault"
  }
}
