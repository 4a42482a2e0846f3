internal import Bytes
internal import Replication
internal import Vault

/// Brings the service what a relay has left of a machine's session that is over.
///
/// The service first says how far the machine's log is; what it has is dropped here. The rest goes in order,
/// each group judged there by the agent's own signature. Where the agent has begun another session
/// meanwhile, what is left of the old one fits nowhere: it is dropped, and the agent, which was never told
/// that it is stored, has sent it again or will.
struct RelayDrain {
  private let relay: Relay
  private let queue: GroupQueue

  /// The caller has the queue's lease.
  init(_ relay: Relay, _ queue: GroupQueue) { (self.relay, self.queue) = (relay, queue) }

  /// Works until nothing is left. Blocks, each wait with a limit.
  ///
  /// - Throws: why the rest could not be brought now; it stays in the cache.
  func run(_ cancellation: Cancellation) throws(TransportError) {
    while let session = queue.session, !queue.isEmpty {
      let connection = try relay.client.connect(
        to: relay.settings.host, port: relay.settings.port, within: relay.settings.attempt,
        cancellation: cancellation)
      defer { connection.close() }
      try cancellation.during({ connection.close() }) { () throws(TransportError) in
        let hello = RelayHello(
          .drain, certificate: session.certificate, session: session.session)
        try connection.send(hello.frame(), within: Self.patience)
        guard let position = try answer(on: connection) else { return }
        forget(through: position)
        try send(after: position, on: connection)
      }
    }
  }

  private static let patience = Duration.seconds(60)

  private func send(
    after position: SequenceNumber, on connection: ClientConnection
  ) throws(TransportError) {
    var sent = position
    var flying: [CachedGroup] = []
    while true {
      while let group = queue.next(after: sent),
        flying.isEmpty
          || flying.reduce(group.cost, { $0 + $1.cost }) <= Int(AgentHandler.window)
      {
        let payload: [UInt8]
        do throws(CacheError) { payload = try queue.read(group) } catch {
          // What can't be read for another reason than damage can be read later.
          guard error.code == .damaged else { throw TransportError(.cache, error.message) }
          return discard(because: error.message)
        }
        try connection.send(
          Frame(type: Group.type.rawValue, payload: payload), within: Self.patience)
        sent = group.last
        flying.append(group)
      }
      guard !flying.isEmpty else { return }
      guard let stored = try answer(on: connection) else { return }
      flying.removeAll { $0.last <= stored }
      forget(through: stored)
    }
  }

  private func forget(through number: SequenceNumber) {
    let before = queue.pendingBytes
    queue.drop(through: number)
    relay.stored(before - min(before, queue.pendingBytes))
  }

  /// How far the log is; nil if what is left was dropped.
  private func answer(on connection: ClientConnection) throws(TransportError) -> SequenceNumber? {
    while true {
      let frame = try connection.receive(within: Self.patience)
      if let stored = try? Stored(frame) { return stored.through }
      if let refusal = try? Refusal(frame) {
        switch refusal.code {
        case .full, .unavailable, .busy, .stopping, .moved:
          throw TransportError(.closed, refusal.text)
        case .protocolBroken, .epoch, .ended, .clock, .unknown, .unprotected:
          discard(because: refusal.text)
          return nil
        }
      }
      guard frame.type == MessageType.heartbeat.rawValue else {
        throw TransportError(.malformed, "The service sent what no relay understands.")
      }
    }
  }

  private func discard(because reason: String) {
    let count = (try? queue.clear()) ?? 0
    relay.note(
      "What was left of a session is dropped; its agent sends it again if it is needed",
      ["machine": "\(queue.machine)", "groups": "\(count)", "reason": reason])
  }
}
