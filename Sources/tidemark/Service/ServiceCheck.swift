internal import ControlAPI
internal import FileIO
internal import Operations
internal import ReplicationService
internal import Vault

/// Looks whether this host can be the service or relay that it is set to be.
struct ServiceCheck {
  private let settings: ServiceSettings

  init(_ settings: ServiceSettings) { self.settings = settings }

  /// For the service of a vault. Blocks for as long as a time source takes, at most two seconds.
  func findings(for vault: Vault) -> [HostFinding] {
    let notice = ServiceNotice(in: vault.path)
    /// A port that this vault's service uses already is not one that is taken.
    func finding(_ port: Int, _ address: String) -> HostFinding {
      if let notice, notice.ports.contains(port), notice.isAnswered {
        return HostFinding("port \(port)", .ok, "used by this vault's service, which runs")
      }
      return PortProbe.finding(host: address, port: port)
    }
    return HostCheck(for: .service(withMount: settings.mount != nil)).findings(at: vault.path)
      + (settings.httpsPort.map { [finding($0, settings.httpsAddress)] } ?? [])
      + (settings.replicationPort.map { [finding($0, settings.replicationAddress)] } ?? [])
      + clock
  }

  /// For the relay of a directory, which may be at work meanwhile if `mayRun`. Blocks as the other one does.
  func findings(for relay: RelayDirectory, mayRun: Bool) -> [HostFinding] {
    let purpose = HostCheck.Purpose.relay(limit: settings.cacheSize, kept: relay.cachedBytes)
    let path = FileSystem.system.exists(relay.cache) ? relay.cache : relay.path
    return HostCheck(for: purpose).findings(at: path)
      + (settings.replicationPort.map { [finding($0, of: relay, mayRun: mayRun)] } ?? []) + clock
  }

  /// A relay that runs keeps no notice of its port, but its directory's lock.
  private func finding(_ port: Int, of relay: RelayDirectory, mayRun: Bool) -> HostFinding {
    let found = PortProbe.finding(host: settings.replicationAddress, port: port)
    guard mayRun, found.verdict == .refused, relay.isAtWork else { return found }
    return HostFinding(found.subject, .ok, "in use, while the relay of '\(relay.path)' runs")
  }

  private var clock: [HostFinding] {
    guard let source = settings.timeSource else { return [] }
    return [HostCheck.clock(offset: source.offset(within: 2), source: source.host)]
  }
}
