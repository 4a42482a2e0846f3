internal import Bytes
public import Catalog
internal import FileIO
public import Identity
internal import Vault

extension VaultService {
  /// Where a vault keeps its authority, certificates and keys.
  static let identityDirectory = "identity"
  /// The longest a registration key may be good: a year.
  static let longestKey: Int64 = 366 * 86400
  /// The most machines that one registration key may enrol.
  static let mostUses = 10_000

  /// Opens the authority that is there; nil if there is none yet.
  func openAuthority() throws(OperationError) -> CertificateAuthority? {
    let directory = vault.path + "/" + Self.identityDirectory
    return try inIdentity { () throws(IdentityError) in
      do throws(IdentityError) {
        return try CertificateAuthority(opening: directory, now: .now())
      } catch {
        guard error.code == .missing else { throw error }
        return nil
      }
    }
  }

  /// Makes the vault's authority.
  func makeAuthority() throws(OperationError) -> CertificateAuthority {
    let description = vault.description
    let made = try inIdentity { () throws(IdentityError) in
      try CertificateAuthority.create(
        in: vault.path + "/" + Self.identityDirectory, vault: description.id,
        vaultName: description.name, now: .now())
    }
    note(.info, "authority-created", "The vault's certificate authority was made.")
    return made
  }

  /// Makes a registration key, which a machine trades for a certificate.
  ///
  /// - Parameters:
  ///   - label: what the operator calls it.
  ///   - seconds: for how long it is good.
  ///   - uses: how many machines it may enrol.
  /// - Returns: what is kept of it, and the key itself, which is not.
  /// - Throws: `.refused` for numbers that are not allowed.
  public func makeKey(
    label: String, validSeconds seconds: Int64, uses: Int
  ) throws(OperationError) -> (record: RegistrationKeyRecord, key: RegistrationKey) {
    guard label.count <= 63, !label.contains(where: \.isNewline) else {
      throw OperationError(.refused, "A key's label has up to 63 characters on one line.")
    }
    guard (1...Self.longestKey).contains(seconds) else {
      throw OperationError(.refused, "A registration key is good for a second to a year.")
    }
    guard (1...Self.mostUses).contains(uses) else {
      throw OperationError(.refused, "A registration key is used 1 to \(Self.mostUses) times.")
    }
    let (key, now) = (RegistrationKey(for: try authority().fingerprint), Timestamp.now())
    let record = RegistrationKeyRecord(
      id: .random(), digest: Self.text(of: key.digest), label: label, created: now,
      expires: Timestamp(seconds: now.seconds + seconds), usesLeft: uses)
    try inCatalog { () throws(CatalogError) in try catalog.add(record) }
    note(.info, "key-created", "A registration key was made\(Self.named(label)).")
    return (record, key)
  }

  /// All registration keys, the oldest first.
  public func keys() throws(OperationError) -> [RegistrationKeyRecord] {
    try inCatalog { () throws(CatalogError) in try catalog.registrationKeys() }
  }

  /// Forgets a registration key, which is refused from now on.
  ///
  /// - Throws: `.unknown`.
  public func removeKey(_ id: String) throws(OperationError) {
    let found = try inCatalog { () throws(CatalogError) in
      guard let id = Identifier(id) else { return false }
      return try catalog.removeRegistrationKey(id)
    }
    guard found else {
      throw OperationError(
        .unknown, "There is no registration key '\(id)'; 'tidemark key list' shows them.")
    }
    note(.info, "key-revoked", "The registration key \(id) was revoked.")
  }

  /// A digest as the catalog keeps it: lower-case hexadecimal digits.
  public static func text(of digest: [UInt8]) -> String {
    digest.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
  }

  private static func named(_ label: String) -> String { label.isEmpty ? "" : ": '\(label)'" }
}
