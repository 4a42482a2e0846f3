public import Identity
public import Replication
internal import Synchronization

/// The service's end of a connection, whoever is at the other: an agent, or a relay that carries an agent's
/// session, brings what it has left of one, or tells how it is doing.
public final class PeerHandler: ConnectionHandler {
  private let peer: PeerIdentity
  private let host: any ReplicationHost
  private let release: String
  private let chosen = Mutex<(any ConnectionHandler)?>(nil)

  /// Handles the connection of `peer`; `release` is the service's.
  public init(peer: PeerIdentity, host: any ReplicationHost, release: String) {
    (self.peer, self.host, self.release) = (peer, host, release)
    guard case .agent = peer.role else { return }
    chosen.withLock { $0 = AgentHandler(peer: peer, host: host, release: release) }
  }

  /// Waits for the first frame.
  public func connected(_ connection: Connection) {}

  /// Hands the frame on; a relay's first one tells to whom.
  public func received(_ frame: Frame, on connection: Connection) {
    if let handler = chosen.withLock({ $0 }) { return handler.received(frame, on: connection) }
    do throws(Rejection) { try choose(by: frame, connection) } catch {
      host.refused(peer, error.refusal)
      try? connection.send(error.refusal.frame(), within: .seconds(10))
      connection.close()
    }
  }

  /// Tells whoever was handed to.
  public func caughtUp(on connection: Connection) {
    chosen.withLock { $0 }?.caughtUp(on: connection)
  }

  /// Tells whoever was handed to.
  public func closed(_ connection: Connection, error: TransportError?) {
    chosen.withLock { $0 }?.closed(connection, error: error)
  }

  private func choose(by frame: Frame, _ connection: Connection) throws(Rejection) {
    switch MessageType(rawValue: frame.type) {
    case .relayStatus:
      let handler = RelayStatusHandler(relay: peer, host: host)
      chosen.withLock { $0 = handler }
      handler.received(frame, on: connection)
    case .relayHello:
      let hello: RelayHello
      do throws(ProtocolError) { hello = try RelayHello(frame) } catch {
        throw Rejection(.protocolBroken, error.message)
      }
      let agent = try host.identify(hello.certificate, behind: peer)
      let handler = AgentHandler(peer: agent, host: host, release: release, seal: host.seal)
      chosen.withLock { $0 = handler }
      switch hello.purpose {
      case .session: handler.seal(connection)
      case .drain: handler.drain(hello.session, on: connection)
      }
    case .renewal:
      // It proves by itself whose it is: the relay's own, or that of an agent which the relay hands on.
      let handler = AgentHandler(peer: peer, host: host, release: release)
      chosen.withLock { $0 = handler }
      handler.received(frame, on: connection)
    default: throw Rejection(.protocolBroken, "A relay can't speak for a machine.")
    }
  }
}

/// The service's end of the connection on which a relay tells how it is doing.
final class RelayStatusHandler: ConnectionHandler {
  private let relay: PeerIdentity
  private let host: any ReplicationHost

  init(relay: PeerIdentity, host: any ReplicationHost) { (self.relay, self.host) = (relay, host) }

  func connected(_ connection: Connection) {}

  func received(_ frame: Frame, on connection: Connection) {
    do throws(Rejection) {
      let status: RelayStatus
      do throws(ProtocolError) { status = try RelayStatus(frame) } catch {
        throw Rejection(.protocolBroken, error.message)
      }
      let orders = try host.heard(status, from: relay, on: connection)
      try? connection.send(orders.frame(), within: .seconds(10))
    } catch {
      host.refused(relay, error.refusal)
      try? connection.send(error.refusal.frame(), within: .seconds(10))
      connection.close()
    }
  }

  func closed(_ connection: Connection, error: TransportError?) { host.lost(relay, connection) }
}
