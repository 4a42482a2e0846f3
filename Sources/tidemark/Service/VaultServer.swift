internal import Catalog
internal import ControlAPI
internal import FileIO
internal import FuseMount
internal import Identity
internal import Logging
internal import Operations
internal import ReplicationService
internal import Vault

/// A vault being served: listeners, jobs and mount, begun and ended in order.
final class VaultServer {
  private let settings: ServiceSettings
  private let vault: Vault
  private let logger: Logger
  private let service: VaultService
  private let control: Control
  private let server: ControlServer
  private var hasMounted = false
  private let clock = ContinuousClock()
  private var nextLook: ContinuousClock.Instant

  /// Between two looks at certificates.
  private static let lookInterval = Duration.seconds(6 * 3600)
  /// Milliseconds that requests are still answered after the last job ended.
  private static let grace = 500

  /// Takes the vault's lock and opens its catalog; nothing listens yet.
  init(
    _ settings: ServiceSettings, _ vault: Vault, _ logger: Logger
  ) throws(OperationError) {
    (self.settings, self.vault, self.logger) = (settings, vault, logger)
    nextLook = clock.now + Self.lookInterval
    service = try VaultService(vault)
    control = Control(service, version: Tidemark.version)
    server = ControlServer(control, logger: logger)
  }

  /// Begins to serve; returns once everything answers.
  func begin() throws {
    let group = vault.readingGroup
    let socket = try settings.socket(for: vault)
    try server.listen(on: .socket(path: socket, group: group))
    var listeners = [socket]
    let own = try ownIdentity()
    var httpsPort: Int?
    if let port = settings.httpsPort {
      let identity = try httpsIdentity(own)
      try server.showToAgents(certificate: own.certificatePEM, key: own.privateKeyPEM)
      let bound = try server.listen(
        on: .https(
          host: settings.httpsAddress, port: port, certificate: identity.certificate,
          key: identity.key))
      httpsPort = bound
      listeners.append("https://\(settings.httpsAddress):\(bound)")
    }
    var replicationPort: Int?
    if let port = settings.replicationPort {
      let bound = try listenForAgents(port, own)
      (replicationPort, control.replicationPort) = (bound, bound)
      listeners.append("replication://\(settings.replicationAddress):\(bound)")
    }
    control.listeners = listeners
    try ServiceNotice(socket: socket, httpsPort: httpsPort, replicationPort: replicationPort)
      .post(in: vault.path, group: group)
    try mount()
    try service.useForRecovery(service.usualRecoveryParts)
    service.monitor.start()
    service.note(.info, "service-started", "The service of the vault began.")
    logger.notice(
      "Serving",
      metadata: [
        "vault": "\(vault.description.name)", "path": "\(vault.path)",
        "listeners": "\(listeners.joined(separator: " "))",
      ])
  }

  /// Agents show certificates of the vault's authority, and are shown one.
  private func listenForAgents(_ port: Int, _ own: Credentials) throws(OperationError) -> Int {
    var listener = ListenerSettings()
    (listener.address, listener.port) = (settings.replicationAddress, port)
    return try service.agentHost.listen(listener, credentials: own, release: Tidemark.version)
  }

  /// What the vault's own authority issued to the service. Whatever it issues later is shown from then on.
  private func ownIdentity() throws(OperationError) -> Credentials {
    let isUsual = settings.https == nil
    service.whenRenewed { [server, logger] credentials throws(OperationError) in
      let (certificate, key) = (credentials.certificatePEM, credentials.privateKeyPEM)
      try server.showToAgents(certificate: certificate, key: key)
      if isUsual { try server.show(certificate: certificate, key: key) }
      logger.notice("New certificate", metadata: ["serial": "\(credentials.identity.serial)"])
    }
    return try service.credentials(names: HostNames.all(with: settings.httpsAddress))
  }

  /// What was set, or what the vault's own authority issued.
  private func httpsIdentity(
    _ own: Credentials
  ) throws(OperationError) -> (certificate: String, key: String) {
    guard let https = settings.https else { return (own.certificatePEM, own.privateKeyPEM) }
    return (try Self.text(https.certificate), try Self.text(https.key))
  }

  /// Keeps certificates good: looks every six hours whether the service's own is to be renewed, and reads
  /// those that were set for HTTPS anew. Where somebody asked for it (SIGHUP) the own one is renewed now.
  /// Call it every second or so.
  func tend(isAsked: Bool) {
    guard isAsked || clock.now >= nextLook else { return }
    nextLook = clock.now + Self.lookInterval
    trying { () throws(OperationError) in
      if isAsked { _ = try service.rotateCredentials() }
      try service.maintainCertificates(now: .now())
    }
    guard let https = settings.https else { return }
    trying { () throws(OperationError) in
      try server.show(
        certificate: try Self.text(https.certificate), key: try Self.text(https.key))
    }
  }

  private func trying(_ body: () throws(OperationError) -> Void) {
    do throws(OperationError) { try body() } catch {
      logger.error("Certificates could not be renewed", metadata: ["reason": "\(error.message)"])
      service.note(.warning, "certificate-not-renewed", error.message)
    }
  }

  private static func text(_ path: String) throws(OperationError) -> String {
    do throws(IOError) {
      return String(
        decoding: try FileSystem.system.readFile(path, limit: 1 << 20), as: UTF8.self)
    } catch { throw OperationError(.refused, error.description) }
  }

  /// The mount is a process of its own: it goes on reading if this one dies, and is found again.
  private func mount() throws {
    guard let directory = settings.mount else { return }
    do throws(MountError) {
      try BackgroundMount.start(
        ["mount", "--foreground", "--vault", vault.path]
          + (settings.mountAllowOther ? ["--allow-other"] : []) + ["--", directory])
      hasMounted = true
    } catch {
      guard error.exitStatus == ExitStatus.refused.rawValue,
        FileSystem.system.exists(directory), error.message.contains("mounted there already")
      else { throw error }
      logger.notice("The mount is there already", metadata: ["directory": "\(directory)"])
    }
  }

  /// Ends everything: no more requests, jobs asked to stop, the catalog closed, the mount taken away.
  ///
  /// - Returns: whether every job found a good place to stop.
  func end() -> Bool {
    ServiceNotice.remove(from: vault.path)
    service.monitor.stop()
    service.note(.info, "service-stopped", "The service of the vault was asked to end.")
    service.agentHost.stop()
    let isQuiet = service.stopJobs()
    // Whoever follows a job learns how it ended.
    Interruption.wait(milliseconds: Self.grace, unlessRequested: false)
    server.stop()
    if isQuiet { service.close() }
    if hasMounted, let directory = settings.mount {
      do throws(MountError) { try unmount(directory, lazily: true) } catch {
        logger.warning("The mount was not taken away", metadata: ["reason": "\(error)"])
      }
    }
    return isQuiet
  }
}
