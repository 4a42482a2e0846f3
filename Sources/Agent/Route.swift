internal import Bytes
internal import FileIO
internal import FoundationEssentials
internal import Identity
internal import Replication
internal import ReplicationService

/// The way an agent goes to its process server: the service itself, or the relay that the service has
/// named. Where the relay fails, the service is asked in turn, which may have named another meanwhile.
struct Route {
  /// Where to connect, and who must answer there.
  struct Stop {
    let host: String
    let port: Int
    let peer: Role
  }

  /// Where the service has sent the agent.
  var place = ServerPlace.service
  /// Failures since the last session.
  private var failures = 0
  /// How often the agent was sent elsewhere since the last session.
  private var moves = 0
  /// More moves than that in a row are a circle, which is gone round slowly.
  private static let moveLimit = 4

  /// Whether there is nobody but the service to go to.
  var isDirect: Bool { place.relay == nil || place.hosts.isEmpty }

  /// Where to go now: each of the relay's addresses in turn, and then the service.
  func next(_ configuration: AgentConfiguration) -> Stop {
    let turn = failures % (relays.count + 1)
    return turn < relays.count ? relays[turn] : Self.service(configuration)
  }

  /// The relay's addresses.
  var relays: [Stop] {
    guard let relay = place.relay else { return [] }
    return place.hosts.map { Stop(host: $0, port: Int(place.port), peer: .relay(relay)) }
  }

  /// The service itself.
  static func service(_ configuration: AgentConfiguration) -> Stop {
    Stop(host: configuration.host, port: configuration.replicationPort, peer: .service)
  }

  /// A session is open.
  mutating func arrived() { (failures, moves) = (0, 0) }

  /// Takes note of why there is no session, or no longer one; true if the service named another place,
  /// which is to be gone to at once.
  mutating func follow(
    _ error: AgentError, _ directory: AgentDirectory
  ) throws(AgentError) -> Bool {
    guard error.refusal == .moved, let new = error.place else {
      failures += 1
      return false
    }
    if new != place { try directory.save(new) }
    (place, failures) = (new, 0)
    moves += 1
    return moves <= Self.moveLimit
  }

  /// Knows the service's certificate: one of the vault's authority, for the service's role.
  static func judge(_ trust: Trust) -> SourceSession.Judge {
    { certificate in
      guard let peer = try? trust.verify(certificateDER: certificate, now: .now()),
        peer.role == .service
      else { return nil }
      return { peer.verifyingKey.isValid($1, for: $0) }
    }
  }
}

extension ServerPlace {
  /// Reads `server.json`; nil if it is not what was written there.
  init?(json bytes: [UInt8]) {
    guard let place = try? JSONDecoder().decode(Self.self, from: Data(bytes)) else { return nil }
    self = place
  }

  /// What `server.json` holds.
  var json: [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
    // Nothing in it is a number that can't be encoded.
    return (try? encoder.encode(self)).map { Array($0) } ?? []
  }
}
