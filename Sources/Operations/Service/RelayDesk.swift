internal import Bytes
internal import Catalog
internal import Dispatch
internal import FileIO
internal import Identity
internal import Replication
internal import ReplicationService
internal import Synchronization

/// What the service knows of its relays: what each told last, and the connection it told it on.
final class RelayDesk: Sendable {
  /// What a relay told, and when.
  struct Heard: Sendable {
    var status: RelayStatus
    var time: Timestamp
  }

  private struct State: Sendable {
    var connections: [Identifier: Connection] = [:]
    var heard: [Identifier: Heard] = [:]
  }

  private let catalog: Catalog
  private let state = Mutex(State())

  init(_ catalog: Catalog) { self.catalog = catalog }

  /// What a relay told last.
  func heard(of relay: Identifier) -> Heard? { state.withLock { $0.heard[relay] } }

  /// Whether a relay is connected.
  func isConnected(_ relay: Identifier) -> Bool {
    state.withLock { $0.connections[relay] != nil }
  }

  /// Keeps what a relay tells, and the connection it tells it on.
  func note(
    _ status: RelayStatus, from relay: Identifier, on connection: Connection
  ) throws(Rejection) {
    try note(status, from: relay, at: .now())
    state.withLock { $0.connections[relay] = connection }
  }

  /// Keeps what a relay told at a moment.
  func note(
    _ status: RelayStatus, from relay: Identifier, at now: Timestamp
  ) throws(Rejection) {
    let known: ServerRecord?
    do throws(CatalogError) { known = try catalog.server(relay) } catch {
      throw Rejection(.unavailable, error.message)
    }
    guard let known else { throw Self.unknown }
    var record = known
    record.version = status.release
    (record.addresses, record.port) = (status.addresses, Int(status.port))
    // An idle relay has this written once a minute.
    if (known.lastContact?.seconds ?? 0) + 60 <= now.seconds { record.lastContact = now }
    let changed = record
    if changed != known {
      let isKnown: Bool
      do throws(CatalogError) { isKnown = try catalog.change(changed) } catch {
        throw Rejection(.unavailable, error.message)
      }
      // It was removed meanwhile.
      guard isKnown else { throw Self.unknown }
    }
    state.withLock { $0.heard[relay] = Heard(status: status, time: now) }
  }

  private static var unknown: Rejection {
    Rejection(.unknown, "The relay is not known here any more; it has to enrol anew.")
  }

  /// A relay's connection is gone.
  func lost(_ relay: Identifier, _ connection: Connection) {
    state.withLock { state in
      if state.connections[relay] === connection { state.connections[relay] = nil }
    }
  }

  /// Tells all relays which certificates are revoked.
  func tell(_ orders: RelayOrders) {
    for connection in state.withLock({ Array($0.connections.values) }) {
      // The caller does not wait for a relay that does not read.
      DispatchQueue.global().async {
        try? connection.send(orders.frame(), within: .seconds(5))
      }
    }
  }

  /// Asks a relay how it is doing and waits for the answer; false if none comes in time.
  func refresh(_ relay: Identifier, _ orders: RelayOrders, seconds: Int) -> Bool {
    guard let connection = state.withLock({ $0.connections[relay] }) else { return false }
    let before = heard(of: relay)?.time
    guard (try? connection.send(orders.frame(), within: .seconds(seconds))) != nil else {
      return false
    }
    let clock = ContinuousClock()
    let deadline = clock.now + .seconds(seconds)
    while heard(of: relay)?.time == before {
      guard clock.now < deadline else { return false }
      _ = DispatchSemaphore(value: 0).wait(timeout: .now() + .milliseconds(20))
    }
    return true
  }

  /// Forgets a relay.
  func forget(_ relay: Identifier) {
    state.withLock { $0.heard[relay] = nil }
  }
}
