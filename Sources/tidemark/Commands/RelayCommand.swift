internal import ArgumentParser
internal import Bytes
internal import ControlAPI
internal import FileIO
internal import Identity
internal import Operations
internal import ReplicationService

/// `tidemark relay …`
struct RelayCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "relay", abstract: "Make this host a process server that stands alone.",
    subcommands: [RelayEnrolCommand.self])
}

/// Where a relay keeps what it knows.
struct RelayOption: ParsableArguments {
  @Option(
    name: .customLong("state"),
    help: ArgumentHelp(
      "The relay's directory. Default: TIDEMARK_RELAY_STATE, or \(RelayDirectory.usual).",
      valueName: "dir"), completion: .directory)
  var state: String?

  /// The directory that is named so, or the usual one.
  func directory() throws -> RelayDirectory {
    let named = state ?? Environment.value("TIDEMARK_RELAY_STATE") ?? RelayDirectory.usual
    return RelayDirectory(at: try absolute(named))
  }
}

/// `tidemark relay enrol`
struct RelayEnrolCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "enrol",
    abstract: "Make this host known to a service as a process server, with a registration key.",
    discussion: discussion(
      """
      The key comes from 'tidemark key create' at the service, as one for a machine does. Afterwards \
      'tidemark serve --relay' runs it, and 'tidemark machine set NAME --process-server' at the service \
      sends machines to it.
      """,
      examples: [
        "tidemark relay enrol --service vault.example.com --key-file relay01.key",
        "tidemark relay enrol --service 10.0.0.5:8443 --key TMK1-… --name relay01",
      ],
      ends: [.locked, .refused, .unwritable]))

  @OptionGroup var enrolment: EnrolmentOptions

  @Option(help: "The relay's name at the service. Default: its host name.")
  var name: String?

  @OptionGroup var relay: RelayOption
  @OptionGroup var output: OutputOption

  func run() throws {
    let call = try enrolment.call()
    let directory = try relay.directory()
    try directory.make()
    let lock = try directory.lock()
    defer { lock.release() }
    guard !directory.isEnrolled else {
      throw OperationError(
        .refused,
        "This host is enrolled as a relay already. Remove it at the service with 'tidemark server "
          + "remove', and then '\(directory.path)', to enrol it anew.")
    }
    let trust = try call.authority()
    let files = try directory.identity()
    let request = try files.makeRequest(for: .relay(.random()))
    let answer = try call.enrolRelay(request, name: name, trusting: trust)
    let configuration = try configuration(answer, call, trust)
    let credentials = try files.store(
      certificatePEM: answer.certificate, authorityPEM: trust.certificatePEM, now: .now())
    guard credentials.identity.role == .relay(configuration.relay) else {
      throw OperationError(.failed, "The service answered with another certificate than a relay's.")
    }
    try directory.save(configuration)
    output.print(
      configuration,
      text: "Enrolled as the process server '\(answer.name)' of the vault '\(answer.vaultName)'.\n"
        + "Next: tidemark serve --relay")
  }

  private func configuration(
    _ answer: EnrolmentDocument, _ call: EnrolmentCall, _ trust: Trust
  ) throws(OperationError) -> RelayConfiguration {
    guard let id = Identifier(answer.machine), let vault = Identifier(answer.vault),
      vault == trust.vault, (1...65535).contains(answer.replicationPort)
    else { throw OperationError(.failed, "The service answered for another vault than its own.") }
    return RelayConfiguration(
      host: call.host, controlPort: call.port, replicationPort: answer.replicationPort,
      vault: vault, vaultName: answer.vaultName, relay: id, name: answer.name)
  }
}
