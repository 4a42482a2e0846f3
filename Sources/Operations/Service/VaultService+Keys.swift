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

  /// Makes a registration key, which a machine trades for a certificate.
  ///
  /// - Parameters:
  ///   - label: what the operator calls it.
  ///   - seconds: for how long it is good.
  ///   - uses: how many machines it may enrol.
  ///   - name: the one machine that it is to enrol anew, whose certificates it makes worthless when it is
  ///     used; nil for any new one.
  /// - Returns: what is kept of it, and the key itself, which is not.
  /// - Throws: `.refused` for numbers that are not allowed, `.unknown` for a machine that is not known.
  public func makeKey(
    label: String, validSeconds seconds: Int64, uses: Int, machine name: String? = nil
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
    guard name == nil || uses == 1 else {
      throw OperationError(.refused, "A key for one machine is used once.")
    }
    let machine = try name.map { name throws(OperationError) in
      guard let known = try identifier(of: name) else {
        throw OperationError(.unknown, "There is no machine '\(name)' to enrol anew.")
      }
      return known
    }
    let (key, now) = (RegistrationKey(for: try authority().fingerprint), Timestamp.now())
    let record = RegistrationKeyRecord(
      id: .random(), digest: Self.text(of: key.digest), label: label, created: now,
      expires: Timestamp(seconds: now.seconds + seconds), usesLeft: uses, machine: machine)
    try inCatalog { () throws(CatalogError) in try catalog.add(record) }
    note(.info, "key-created", "A registration key was made\(Self.named(label)).")
    return (record, key)
  }

  /// The machine of that name, enrolled or protected.
  func identifier(of name: String) throws(OperationError) -> Identifier? {
    if let agent = try agents().first(where: { $0.name == name }) { return agent.machine }
    let machines = try inVault { () throws(VaultError) in try vault.machines() }
    return machines.first { $0.name == name }?.id
  }

  /// The name of a machine, enrolled or protected.
  func name(of machine: Identifier) throws(OperationError) -> String? {
    if let agent = try agents().first(where: { $0.machine == machine }) { return agent.name }
    let machines = try inVault { () throws(VaultError) in try vault.machines() }
    return machines.first { $0.id == machine }?.name
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
