internal import Agent
internal import Dispatch
internal import FileIO
internal import Identity
internal import Logging
internal import Operations
internal import ReplicationService

/// A relay being run, until it is asked to end.
struct RelayServer {
  let settings: ServiceSettings
  let directory: RelayDirectory
  /// The names and addresses that agents are told; those of this host's adapters if none are given.
  let advertised: [String]
  let cacheLimit: UInt64

  /// Blocks until a signal comes.
  func run() throws {
    guard directory.isEnrolled, let configuration = try directory.configuration() else {
      throw OperationError(
        .refused,
        "There is no relay in '\(directory.path)', or its relay.json is damaged. 'tidemark relay enrol' "
          + "makes one.")
    }
    let lock = try directory.lock()
    defer { lock.release() }
    let logger = ServiceLog.logger(level: settings.logLevel, format: settings.logFormat)
    let relay = try Relay(
      identity: try directory.identity(), settings: relaySettings(configuration),
      release: Tidemark.version
    ) { note in
      logger.log(
        level: note.isWarning ? .warning : .notice, "\(note.message)",
        metadata: note.fields.mapValues { .string($0) })
    }
    let cancellation = Cancellation()
    Interruption.listen()
    DispatchQueue.global().async {
      while !Interruption.isRequested { Interruption.wait(milliseconds: 1000) }
      ServiceManager.tell("STOPPING=1")
      cancellation.cancel()
    }
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

  private func relaySettings(_ configuration: RelayConfiguration) -> RelaySettings {
    var listener = ListenerSettings()
    listener.address = settings.replicationAddress
    listener.port = settings.replicationPort ?? ListenerSettings.defaultPort
    var addresses = advertised.isEmpty ? MachineFacts.addresses : advertised
    if addresses.isEmpty { addresses = [MachineFacts.hostName] }
    return RelaySettings(
      host: configuration.host, port: configuration.replicationPort, listener: listener,
      addresses: addresses, cache: directory.cache, cacheLimit: cacheLimit)
  }
}
