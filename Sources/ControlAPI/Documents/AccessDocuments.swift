internal import Bytes
public import Catalog

/// A token of the API, as JSON.
public struct TokenDocument: Codable, Sendable {
  /// What the operator calls it.
  public let name: String
  /// What its bearer may do.
  public let role: AccessRole
  /// When it was made.
  public let created: String
  /// From when on it is refused; never if nothing is said.
  public let expires: String?
  /// The token itself, in the one answer that makes it; it is not kept.
  public let token: String?

  init(_ token: TokenRecord, text: String? = nil) {
    (name, role, created) = (token.name, token.role, token.created.iso8601)
    expires = token.expires?.iso8601
    self.token = text
  }
}

/// Tokens, as JSON.
public struct TokenListDocument: Codable, Sendable {
  /// The tokens, by name.
  public let tokens: [TokenDocument]

  init(_ tokens: [TokenRecord]) { self.tokens = tokens.map { TokenDocument($0) } }
}

/// A token to make, as JSON.
public struct NewTokenDocument: Codable, Sendable {
  /// What to call it.
  public var name: String
  /// What its bearer may do.
  public var role: AccessRole
  /// For how long it is good; for good if nothing is said.
  public var validSeconds: Int64?

  /// A token of these properties.
  public init(name: String, role: AccessRole, validSeconds: Int64?) {
    (self.name, self.role, self.validSeconds) = (name, role, validSeconds)
  }
}
