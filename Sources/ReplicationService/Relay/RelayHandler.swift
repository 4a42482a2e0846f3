internal import Bytes
internal import Identity
internal import Replication
internal import Synchronization

/// The relay's end of an agent's connection.
final class RelayHandler: ConnectionHandler {
  private let peer: PeerIdentity
  private let relay: Relay
  private let session = Mutex<RelaySession?>(nil)

  init(peer: PeerIdentity, relay: Relay) { (self.peer, self.relay) = (peer, relay) }

  func connected(_ connection: Connection) {
    if case .agent = peer.role { return }
    connection.close()
  }

  func received(_ frame: Frame, on connection: Connection) {
    if let session = session.withLock({ $0 }) { return session.received(frame) }
    guard case .agent(let machine) = peer.role else { return connection.close() }
    switch MessageType(rawValue: frame.type) {
    case .hello: begin(frame, of: machine, on: connection)
    case .renewal: renew(frame, on: connection)
    default: connection.close()
    }
  }

  private func renew(_ frame: Frame, on connection: Connection) {
    let answer: Frame
    do throws(TransportError) { answer = try relay.renew(frame) } catch {
      answer = Refusal(.unavailable, "The relay can't reach the service: \(error.message)").frame()
    }
    try? connection.send(answer, within: .seconds(5))
    connection.close()
  }

  private func begin(_ frame: Frame, of machine: Identifier, on connection: Connection) {
    do throws(CacheError) {
      let queue = try relay.queue(of: machine)
      let made = RelaySession(peer, queue, connection, relay)
      session.withLock { $0 = made }
      made.begin(frame)
    } catch {
      relay.complain(error.message)
      let refusal = Refusal(.unavailable, "The relay's cache can't be used: \(error.message)")
      try? connection.send(refusal.frame(), within: .seconds(5))
      connection.close()
    }
  }

  func caughtUp(on connection: Connection) { session.withLock { $0 }?.caughtUp() }

  func closed(_ connection: Connection, error: TransportError?) {
    session.withLock { $0 }?.agentGone()
  }
}
