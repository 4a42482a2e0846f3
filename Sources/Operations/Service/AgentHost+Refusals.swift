internal import Catalog
public import Identity
public import Replication

extension AgentHost {
  /// Notes that a peer was refused for something that is not in order, or broke the protocol; one that is
  /// only to wait is nobody's concern.
  public func refused(_ peer: PeerIdentity, _ refusal: Refusal) {
    switch refusal.code {
    case .unprotected, .ended, .busy, .full, .unavailable, .stopping, .moved: return
    case .unknown, .epoch, .clock, .protocolBroken: break
    }
    var name: String?
    if case .agent(let machine) = peer.role { name = (try? catalog.agent(of: machine))?.name }
    refusals.note(
      "session-refused", kind: "\(peer.role) \(refusal.code)", machine: name,
      "The session of \(peer.role) was refused: \(refusal.text)")
  }
}
