public import Bytes
internal import GRDB

/// A registration key that an agent or relay trades for a certificate; the key itself is not kept.
public struct RegistrationKeyRecord: Codable, Hashable, Sendable {
  /// Names it in lists.
  public var id: Identifier
  /// The SHA-256 of its secret, in lower-case hexadecimal digits.
  public var digest: String
  /// What the operator calls it.
  public var label: String
  /// When it was made.
  public var created: Timestamp
  /// From when on it is refused.
  public var expires: Timestamp
  /// How often it can still be used.
  public var usesLeft: Int
  /// The one machine that it enrols anew; nil if it is for any new one.
  public var machine: Identifier?

  /// A key of these properties.
  public init(
    id: Identifier, digest: String, label: String, created: Timestamp, expires: Timestamp,
    usesLeft: Int, machine: Identifier? = nil
  ) {
    (self.id, self.digest, self.label) = (id, digest, label)
    (self.created, self.expires, self.usesLeft) = (created, expires, usesLeft)
    self.machine = machine
  }
}

extension RegistrationKeyRecord: Kept {
  static var table: String { "registrationKey" }
}

extension Catalog {
  /// Keeps a key.
  public func add(_ key: RegistrationKeyRecord) throws(CatalogError) { try insert(key) }

  /// All keys, the oldest first.
  public func registrationKeys() throws(CatalogError) -> [RegistrationKeyRecord] {
    try all(RegistrationKeyRecord.self, by: "created, id")
  }

  /// The key with this digest, if it can be used at `now`; nothing is used up.
  public func goodRegistrationKey(
    digest: String, now: Timestamp
  ) throws(CatalogError) -> RegistrationKeyRecord? {
    try first(
      RegistrationKeyRecord.self, where: "digest = ? AND usesLeft > 0 AND expires > ?",
      [digest, now.rawValue])
  }

  /// Uses up one use of the key with this digest; durable when it returns, so that no crash makes a
  /// key usable twice.
  ///
  /// - Returns: the key, with what is left; nil if there is none that can be used at `now`.
  public func useRegistrationKey(
    digest: String, now: Timestamp
  ) throws(CatalogError) -> RegistrationKeyRecord? {
    try write { database in
      try database.execute(
        sql: """
          UPDATE registrationKey SET usesLeft = usesLeft - 1
          WHERE digest = ? AND usesLeft > 0 AND expires > ?
          """, arguments: [digest, now.rawValue])
      guard database.changesCount == 1 else { return nil }
      return try Self.first(RegistrationKeyRecord.self, where: "digest = ?", [digest], database)
    }
  }

  /// Forgets a key, which is refused from now on; false if there is none.
  public func removeRegistrationKey(_ id: Identifier) throws(CatalogError) -> Bool {
    try change("DELETE FROM registrationKey WHERE id = ?", [id.description]) > 0
  }
}
