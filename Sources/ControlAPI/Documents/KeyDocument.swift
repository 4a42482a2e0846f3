internal import Bytes
internal import Catalog
internal import Identity

/// A registration key, as JSON.
public struct KeyDocument: Codable, Sendable {
  /// Names it in lists.
  public let id: String
  /// What the operator calls it.
  public let label: String
  /// When it was made.
  public let created: String
  /// From when on it is refused.
  public let expires: String
  /// How many machines it may still enrol.
  public let usesLeft: Int
  /// The identifier of the one machine that it enrols anew; nil if it is for any new machine.
  public let machine: String?
  /// The key itself, in the one answer that makes it; it is not kept.
  public let key: String?

  init(_ key: RegistrationKeyRecord, text: String? = nil) {
    (id, label, usesLeft) = (key.id.description, key.label, key.usesLeft)
    (created, expires) = (key.created.iso8601, key.expires.iso8601)
    (machine, self.key) = (key.machine?.description, text)
  }
}

/// A certificate that was issued, as JSON.
public struct CertificateDocument: Codable, Sendable {
  /// Its number, in hexadecimal digits.
  public let serial: String
  /// From when on it is good.
  public let notBefore: String
  /// Until when it is good.
  public let notAfter: String

  init(_ identity: PeerIdentity) {
    serial = identity.serial
    (notBefore, notAfter) = (identity.notBefore.iso8601, identity.notAfter.iso8601)
  }
}

/// Registration keys, as JSON.
public struct KeyListDocument: Codable, Sendable {
  /// The keys, the oldest first.
  public let keys: [KeyDocument]

  init(_ keys: [RegistrationKeyRecord]) { self.keys = keys.map { KeyDocument($0) } }
}

/// A registration key to make, as JSON.
public struct NewKeyDocument: Codable, Sendable {
  /// What to call it; nothing if nothing is said.
  public var label: String?
  /// For how long it is good; five days if nothing is said.
  public var validSeconds: Int64?
  /// How many machines it may enrol; one if nothing is said.
  public var uses: Int?

  /// The name of the one machine that it is to enrol anew, under its old name; any new one if nothing is
  /// said.
  public var machine: String?

  /// For how long a key is good unless something else is said.
  public static let usualSeconds: Int64 = 5 * 86400

  /// A key of these properties.
  public init(label: String?, validSeconds: Int64?, uses: Int?, machine: String? = nil) {
    (self.label, self.validSeconds, self.uses) = (label, validSeconds, uses)
    self.machine = machine
  }
}
