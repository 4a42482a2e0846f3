internal import Agent
internal import FileIO
internal import Identity
internal import Logging
internal import Operations
internal import ReplicationService

/// A relay being run, until it is asked to end.
struct RelayServer {
  private let settings: ServiceSettings
  private let directory: RelayDirectory
  private let configuration: RelayConfiguration

  /// The relay of a directory; nothing is begun yet.
  ///
  /// - Throws: `.refused` if none was enrolled there.
  init(settings: ServiceSettings, directory: RelayDirectory) throws {
    guard directory.isEnrolled, let configuration = try directory.configuration() else {
      throw OperationError(
        .refused,
        "There is no relay in '\(directory.path)', or its relay.json is damaged. 'tidemark relay enrol' "
          + "makes one.")
    }
    (self.settings, self.directory, self.configuration) = (settings, directory, configuration)
  }

  /// Whether this host can run it, or does. Blocks for at most some seconds.
  func findings() -> [HostFinding] {
    ServiceCheck(settings).findings(for: directory, mayRun: true)
  }

  /// Blocks until a signal comes.
  ///
  /// - Throws: `.refused` if the host can't run it, `.locked` if another process does.
  func run() throws {
    let lock = try directory.lock()
    defer { lock.release() }
    let logger = ServiceLog.logger(level: settings.logLevel, format: settings.logFormat)
    let report = HostReport(
      findings: ServiceCheck(settings).findings(for: directory, mayRun: false))
    report.log(to: logger)
    if let refusal = report.refusal { throw refusal }
    let relay = try Relay(
      identity: try directory.identity(), settings: relaySettings,
      release: Tidemark.version
    ) { note in
      logger.log(
        level: note.isWarning ? .warning : .notice, "\(note.message)",
        metadata: note.fields.mapValues { .string($0) })
    }
    let cancellation = Interruption.cancelling()
    logger.notice(
      "Relaying",
      metadata: [
        "name": "\(configuration.name)", "port": "\(relay.port)",
        "service": "\(configuration.host):\(configuration.replicationPort)",
        "pending": "\(relay.pendingBytes)",
      ])
    ServiceManager.tell("READY=1")
    relay.run(until: cancellation)
    logger.notice("Ended", metadata: ["pending": "\(relay.pendingBytes)"])
  }

  private var relaySettings: RelaySettings {
    var listener = ListenerSettings()
    listener.address = settings.replicationAddress
    listener.port = settings.replicationPort ?? ListenerSettings.defaultPort
    var addresses = settings.advertised.isEmpty ? MachineFacts.addresses : settings.advertised
    if addresses.isEmpty { addresses = [MachineFacts.hostName] }
    return RelaySettings(
      host: configuration.host, port: configuration.replicationPort, listener: listener,
      addresses: addresses, cache: directory.cache, cacheLimit: settings.cacheSize)
  }
}
