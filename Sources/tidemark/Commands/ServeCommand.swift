internal import ArgumentParser
internal import ControlAPI
internal import FileIO
internal import Logging
internal import Operations
internal import ReplicationService
internal import Vault

/// `tidemark serve`
struct ServeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "serve",
    abstract: "Keep a vault in service: its API, jobs and mount; or be a relay.",
    discussion: discussion(
      """
      The service holds the vault's lock; commands that change something go to it, over its socket, \
      and end as they would without it. Whoever the socket's file lets in may do everything; over \
      HTTPS a token says what its bearer may ('tidemark token create').

      Each setting is also a field of the configuration file, a JSON object, by its name in one word \
      (httpsPort), and a variable (TIDEMARK_HTTPS_PORT). An option counts more than a variable, and \
      that more than the file.

      At each start, and with --check alone, cores, memory, room, FUSE, ports and clock of this host are \
      looked at; a relay's too. With --relay the options of addresses and ports of replication, of the log, \
      of the time source, and those of a relay count; others are refused.

      SIGHUP has it read the files of its HTTPS certificate anew and renew its own certificate.

      SIGTERM or SIGINT ends the service: jobs are asked to stop, and go on from there when they are \
      started again. A second one ends it at once, which is safe too.
      """,
      examples: [
        "tidemark serve --vault /srv/vault", "tidemark serve --config /etc/tidemark/serve.json",
        "tidemark serve --check",
        "tidemark serve --relay --cache-size 50G", "tidemark serve --relay --check",
        "tidemark serve --https-certificate service.pem --https-key service.key --mount /mnt/tidemark",
      ],
      ends: [.incomplete, .noVault, .locked, .damaged, .refused, .unwritable]))

  @Option(
    help: ArgumentHelp(
      "The configuration file. Default: TIDEMARK_CONFIG, or none.", valueName: "file"),
    completion: .file())
  var config: String?

  @Option(
    help: ArgumentHelp(
      "The API's socket. Default: /run/tidemark/VAULT.sock, or $XDG_RUNTIME_DIR/tidemark/VAULT.sock.",
      valueName: "path"), completion: .file())
  var socket: String?

  @Option(help: ArgumentHelp("The address HTTPS listens on. Default: 0.0.0.0.", valueName: "ip"))
  var httpsAddress: String?

  @Option(
    help: ArgumentHelp("The port of HTTPS; 0 for any; or none. Default: 8443.", valueName: "port"))
  var httpsPort: String?

  @Option(
    help: ArgumentHelp(
      "The address that agents are listened for on. Default: 0.0.0.0.", valueName: "ip"))
  var replicationAddress: String?

  @Option(
    help: ArgumentHelp(
      "The port agents send to; 0 for any; or none, but for a relay. Default: 9443.",
      valueName: "port"))
  var replicationPort: String?

  @Option(
    help: ArgumentHelp(
      """
      The certificate of HTTPS, as PEM. Default: one of the vault's own authority, which clients find \
        in VAULT/identity/ca.pem.
      """, valueName: "file"),
    completion: .file())
  var httpsCertificate: String?

  @Option(help: ArgumentHelp("Its key, as PEM.", valueName: "file"), completion: .file())
  var httpsKey: String?

  @Option(
    help: ArgumentHelp("Serve the mount there too.", valueName: "dir"), completion: .directory)
  var mount: String?

  @Flag(help: "Let other users see the mount.")
  var mountAllowOther = false

  @Option(
    help: ArgumentHelp(
      "trace, debug, info, notice, warning, error or critical. Default: info.", valueName: "level"))
  var logLevel: String?

  @Option(help: ArgumentHelp("text or json. Default: text.", valueName: "format"))
  var logFormat: String?

  @Option(
    help: ArgumentHelp(
      "Who is asked for the time, or none. Default: pool.ntp.org.", valueName: "host"))
  var timeSource: String?

  @Flag(help: "Look whether this host can serve the vault, or be the relay, and end.")
  var check = false

  @Flag(
    help: "Be a relay, a process server that stands alone, as 'tidemark relay enrol' has set up.")
  var relay = false

  @Option(
    help: ArgumentHelp(
      "A name or address that agents reach this relay by; may be repeated. Default: the addresses of "
        + "this host.", valueName: "host"))
  var advertise: [String] = []

  @Option(
    help: ArgumentHelp(
      "Bytes that a relay keeps while the service does not take them, such as 500M or 50G. Default: 10G.",
      valueName: "bytes"))
  var cacheSize: String?

  @OptionGroup var state: RelayOption
  @OptionGroup var vault: VaultOption
  @OptionGroup var output: OutputOption

  func validate() throws {
    guard check || !output.json else { throw ValidationError("--json goes with --check.") }
    guard relay || state.state == nil else {
      throw ValidationError("--state is a relay's directory: it goes with --relay.")
    }
  }

  func run() throws {
    let kind: ServiceKind = relay ? .relay : .service
    let settings = try ServiceSettings(
      try ServiceLayers(
        file: config ?? Environment.value("TIDEMARK_CONFIG"), variable: Environment.value,
        options: options, for: kind), for: kind)
    if relay { return try serveAsRelay(settings) }
    let named = VaultOption(of: settings.vault)
    // A mount that the service starts works in another directory.
    let vault = try VaultOption(of: try absolute(try named.directory())).opened()
    let report = HostReport(findings: ServiceCheck(settings).findings(for: vault))
    if check { return try show(report) }
    let logger = ServiceLog.logger(level: settings.logLevel, format: settings.logFormat)
    report.log(to: logger)
    if let refusal = report.refusal { throw refusal }
    try serve(settings, vault, logger)
  }

  private func serveAsRelay(_ settings: ServiceSettings) throws {
    let server = try RelayServer(settings: settings, directory: try state.directory())
    guard check else { return try server.run() }
    try show(HostReport(findings: server.findings()))
  }

  private func show(_ report: HostReport) throws {
    output.print(report.document, text: report.text)
    if report.isRefused { throw ExitStatus.refused.code }
  }

  private var options: [ServiceSetting: String] {
    var options: [ServiceSetting: String] = [:]
    options[.vault] = vault.vault
    options[.socket] = socket
    options[.httpsAddress] = httpsAddress
    options[.httpsPort] = httpsPort
    options[.httpsCertificate] = httpsCertificate
    options[.httpsKey] = httpsKey
    options[.replicationAddress] = replicationAddress
    options[.replicationPort] = replicationPort
    options[.mount] = mount
    options[.mountAllowOther] = mountAllowOther ? "true" : nil
    options[.logLevel] = logLevel
    options[.logFormat] = logFormat
    options[.timeSource] = timeSource
    options[.cacheSize] = cacheSize
    options[.advertise] = advertise.isEmpty ? nil : advertise.joined(separator: ",")
    return options
  }

  private func serve(_ settings: ServiceSettings, _ vault: Vault, _ logger: Logger) throws {
    Interruption.listen(forHangUps: true)
    let server = try VaultServer(settings, vault, logger)
    do { try server.begin() } catch {
      _ = server.end()
      throw error
    }
    ServiceManager.tell("READY=1")
    while !Interruption.isRequested {
      Interruption.wait(milliseconds: 1000)
      server.tend(isAsked: Interruption.takeHangUp())
    }
    ServiceManager.tell("STOPPING=1")
    logger.notice("Ending")
    let isQuiet = server.end()
    logger.notice("Ended")
    guard isQuiet else {
      throw OperationError(
        .incomplete, "Some jobs did not stop in time; they are shown as failed at the next start.")
    }
  }
}
