internal import FileIO
public import Vault

/// Finds the vault a person means.
public struct VaultLookup: Sendable {
  private let option: String?
  private let variable: String?
  private let registry: VaultRegistry

  /// - Parameters:
  ///   - option: what `--vault` says, if it was given; it comes first.
  ///   - variable: what `TIDEMARK_VAULT` says, if it is set.
  ///   - registry: the user's friendly names.
  public init(option: String?, variable: String?, registry: VaultRegistry) {
    self.option = option
    self.variable = variable.flatMap { $0.isEmpty ? nil : $0 }
    self.registry = registry
  }

  /// Opens the vault for reading; with `isGlancing` a machine of which no disk is read can be removed.
  public func open(isGlancing: Bool = false) throws(OperationError) -> Vault {
    let path = try directory()
    return try inVault { () throws(VaultError) in
      try Vault(opening: path, isGlancing: isGlancing)
    }
  }

  /// The vault's directory: a directory that was named or the one noted under a friendly name; if
  /// nothing was named, the only one that is noted.
  public func directory() throws(OperationError) -> String {
    if let name = option ?? variable { return try directory(named: name) }
    let known = try registry.vaults()
    if known.count == 1, let only = known.values.first { return only }
    let names = known.keys.sorted().map { "'\($0)'" }.joined(separator: ", ")
    throw OperationError(
      .noVault,
      known.isEmpty
        ? "No vault was named. Give --vault DIR or set TIDEMARK_VAULT; "
          + "'tidemark vault init DIR' makes one."
        : "Which vault? Give --vault NAME or set TIDEMARK_VAULT; known are \(names).")
  }

  private func directory(named name: String) throws(OperationError) -> String {
    if name.contains("/") || FileSystem.system.exists(name) { return name }
    let known = try registry.vaults()
    if let directory = known[name] { return directory }
    let names = known.keys.sorted().map { "'\($0)'" }.joined(separator: ", ")
    throw OperationError(
      .noVault,
      "'\(name)' is neither a directory nor the friendly name of a vault"
        + (known.isEmpty ? "." : "; known are \(names).")
        + " Give --vault DIR, or make a vault with 'tidemark vault init DIR'.")
  }
}
