public import Bytes

/// What the holder of a certificate may do. A certificate carries it, together with the vault it is
/// good for, as a URI in its subject alternative names (RFC 5280 §4.2.1.6):
/// `tidemark://VAULT/service`, `tidemark://VAULT/agent/MACHINE`, `tidemark://VAULT/relay/RELAY`.
public enum Role: Hashable, Sendable, CustomStringConvertible {
  /// The service that keeps the vault.
  case service
  /// The mobility agent of one machine.
  case agent(Identifier)
  /// A stand-alone process server.
  case relay(Identifier)

  /// Reads the form that `description` writes; nil if `text` is anything else.
  public init?(_ text: some StringProtocol) {
    guard text != "service" else {
      self = .service
      return
    }
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2, let id = Identifier(String(parts[1])), id.description == parts[1]
    else { return nil }
    switch parts[0] {
    case "agent": self = .agent(id)
    case "relay": self = .relay(id)
    default: return nil
    }
  }

  /// `service`, `agent/MACHINE` or `relay/RELAY`, as in the URI.
  public var description: String {
    switch self {
    case .service: "service"
    case .agent(let machine): "agent/\(machine)"
    case .relay(let relay): "relay/\(relay)"
    }
  }

  /// The machine or relay the role belongs to; nil for the service.
  public var subject: Identifier? {
    switch self {
    case .service: nil
    case .agent(let id), .relay(let id): id
    }
  }
}

/// The URI that ties a certificate to a vault and a role, or marks the vault's own authority.
enum IdentityURI: Hashable {
  case authority(vault: Identifier)
  case holder(vault: Identifier, Role)

  static let scheme = "tidemark://"

  /// Reads a URI; nil if it is not exactly what `text` writes.
  init?(_ text: String) {
    guard text.hasPrefix(Self.scheme) else { return nil }
    let parts = text.dropFirst(Self.scheme.count).split(
      separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
    guard parts.count == 2, let vault = Identifier(String(parts[0])),
      vault.description == parts[0]
    else { return nil }
    if parts[1] == "authority" {
      self = .authority(vault: vault)
    } else {
      guard let role = Role(parts[1]) else { return nil }
      self = .holder(vault: vault, role)
    }
  }

  var text: String {
    switch self {
    case .authority(let vault): "\(Self.scheme)\(vault)/authority"
    case .holder(let vault, let role): "\(Self.scheme)\(vault)/\(role)"
    }
  }
}
