public import Bytes
internal import GRDB

/// What the bearer of a token may do; each role may also do what those before it may.
public enum AccessRole: String, Codable, Sendable, CaseIterable, Comparable {
  /// Look and list.
  case reader
  /// Also run the machines' operations: replicate, test failover, failover, cancel.
  case `operator`
  /// Also manage the vault: machines, keys, servers, policies, tokens.
  case administrator

  /// Orders by what is allowed.
  public static func < (left: Self, right: Self) -> Bool { left.rank < right.rank }

  private var rank: Int {
    switch self {
    case .reader: 0
    case .operator: 1
    case .administrator: 2
    }
  }
}

/// A token of the HTTPS API; the token itself is not kept.
public struct TokenRecord: Codable, Hashable, Sendable {
  /// The part of the token that is no secret.
  public var id: String
  /// What the operator calls it.
  public var name: String
  /// What its bearer may do.
  public var role: AccessRole
  /// The SHA-256 of its secret, in lower-case hexadecimal digits.
  public var digest: String
  /// When it was made.
  public var created: Timestamp
  /// From when on it is refused; nil for never.
  public var expires: Timestamp?

  /// A token of these properties.
  public init(
    id: String, name: String, role: AccessRole, digest: String, created: Timestamp,
    expires: Timestamp?
  ) {
    (self.id, self.name, self.role) = (id, name, role)
    (self.digest, self.created, self.expires) = (digest, created, expires)
  }
}

extension TokenRecord: Kept {
  static var table: String { "accessToken" }
}

extension Catalog {
  /// Keeps a token.
  ///
  /// - Throws: `.alreadyExists` if another one has its name.
  public func add(_ token: TokenRecord) throws(CatalogError) { try insert(token) }

  /// All tokens, by name.
  public func tokens() throws(CatalogError) -> [TokenRecord] {
    try all(TokenRecord.self, by: "name")
  }

  /// The token with that public part.
  public func token(_ id: String) throws(CatalogError) -> TokenRecord? {
    try first(TokenRecord.self, where: "id = ?", [id])
  }

  /// Forgets the token of that name, which is refused from now on; false if there is none.
  public func removeToken(named name: String) throws(CatalogError) -> Bool {
    try change("DELETE FROM accessToken WHERE name = ?", [name]) > 0
  }
}
