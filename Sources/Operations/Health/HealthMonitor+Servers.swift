internal import Bytes
internal import Catalog
internal import FileIO
internal import Replication
internal import Synchronization
internal import Vault

/// Looking at the process servers: the service's own host, and relays.
extension HealthMonitor {
  private static let hostCodes: Set<HealthCode> = [.vaultFull, .processor, .memory, .space]
  /// What relays tell of themselves.
  private static let toldCodes: Set<HealthCode> = [
    .processor, .memory, .serverCache, .serverPending,
  ]

  /// How busy the service's own host is, over the last while; nil where it is not known.
  var host: (processor: Int?, memory: Int?, free: Int?) {
    let (load, window) = state.withLock { ($0.load, $0.host) }
    return (window.processorPercent, window.memoryPercent, load?.freePercent)
  }

  /// How busy the service's own host is as a process server, whose cache is the vault, and what is wrong
  /// with it. Where nothing was looked at yet, as in a process that serves nobody, it is now.
  func ownLoad(machines: Int) -> (load: ServerLoad, findings: [HealthFinding]) {
    let (known, window) = state.withLock { ($0.load, $0.host) }
    let now = known ?? HostLoad.now(at: vault.path)
    let load = ServerLoad(
      processor: UInt32(window.processorPercent ?? 0) * 10,
      memory: UInt32(window.memoryPercent ?? 0) * 10, cacheFree: now.freeBytes ?? 0,
      cacheSize: now.totalBytes ?? 0, machines: UInt32(clamping: machines))
    let findings = rules.findings(
      ofHost: load, isWatched: window.isFull, reserve: Vault.reserve(of: load.cacheSize))
    return (load, findings)
  }

  func lookAtHost(_ load: HostLoad, _ now: Timestamp) {
    state.withLock { state in
      state.load = load
      state.host.add(load, at: now.seconds)
    }
    book.update("", Self.hostCodes, to: ownLoad(machines: 0).findings, at: now)
  }

  /// What is wrong with when a relay was heard of last. While the service itself was away, or the relay was
  /// only about to begin, nobody could be heard.
  func silence(of relay: ServerRecord, at now: Timestamp) -> [HealthFinding] {
    let heard = agents.relays.heard(of: relay.id)?.time
    let contact = max(relay.lastContact ?? relay.enrolled, heard ?? started, started)
    return rules.findings(ofRelayHeard: contact, at: now)
  }

  func lookAtRelays(_ now: Timestamp) {
    guard let relays = try? catalog.servers() else { return }
    for relay in relays {
      let heard = agents.relays.heard(of: relay.id)
      book.update(relay.name, [.serverSilent], to: silence(of: relay, at: now), at: now)
      // Until it tells how it is doing, what it told an earlier process holds.
      guard let load = heard?.status.load else { continue }
      book.update(relay.name, Self.toldCodes, to: rules.findings(ofRelay: load), at: now)
    }
    book.keep(
      Self.toldCodes.union([.serverSilent]), of: relays.map(\.name) + [""], at: now)
  }
}
