internal import Agent
internal import ArgumentParser
internal import Bytes
internal import ControlAPI
internal import FileIO
internal import Identity
internal import Operations

/// `tidemark agent enrol`
struct AgentEnrolCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "enrol",
    abstract: "Make this machine known to a service, with a registration key.",
    discussion: discussion(
      """
      The key comes from 'tidemark key create' at the service, and names the service's authority, so \
      that nobody else can answer in its place. It is traded for a certificate; the private key is \
      made here, and stays here. Both clocks must agree within 5 minutes.

      With --again a machine that still has its old key, expired or not, proves that, and keeps its name \
      and recovery points; with another --name it becomes a new machine. One that has lost its key needs \
      a registration key that was made for it ('tidemark key create --machine NAME').
      """,
      examples: [
        "tidemark agent enrol --service vault.example.com --key-file web01.key",
        "tidemark agent enrol --service 10.0.0.5:8443 --key TMK1-… --name web01",
      ],
      ends: [.locked, .refused, .unwritable]))

  @OptionGroup var enrolment: EnrolmentOptions

  @Option(help: "The machine's name in the vault. Default: its host name.")
  var name: String?

  @Flag(help: "Enrol although the machine is enrolled already; its disks are kept.")
  var again = false

  @OptionGroup var agent: AgentOption
  @OptionGroup var output: OutputOption

  func run() throws {
    let call = try enrolment.call()
    let directory = try agent.directory()
    try directory.make()
    let lock = try directory.lock()
    defer { lock.release() }
    let earlier = try earlier(of: directory)
    let trust = try call.authority()
    let files = try directory.identity()
    let previous = previous(in: files, of: directory, trust)
    let request = try files.makeRequest(for: .agent(.random()))
    let answer = try call.enrol(request, name: name, previous: previous, trusting: trust)
    guard let machine = Identifier(answer.machine), let vault = Identifier(answer.vault),
      vault == trust.vault, (1...65535).contains(answer.replicationPort)
    else { throw OperationError(.failed, "The service answered for another vault than its own.") }
    let credentials = try files.store(
      certificatePEM: answer.certificate, authorityPEM: trust.certificatePEM, now: .now())
    guard credentials.identity.role == .agent(machine) else {
      throw OperationError(.failed, "The service answered with another machine's certificate.")
    }
    let configuration = AgentConfiguration(
      host: call.host, controlPort: call.port, replicationPort: answer.replicationPort,
      vault: vault, vaultName: answer.vaultName, machine: machine, name: answer.name,
      disks: earlier?.disks ?? [], hooks: earlier?.hooks ?? [],
      freezeLimit: earlier?.freezeLimit ?? AgentConfiguration.defaultFreezeLimit,
      shutdown: earlier?.shutdown, fence: earlier?.fence)
    try directory.save(configuration)
    try directory.forgetEpoch()
    output.print(
      AgentReport(configuration).document,
      text: "Enrolled as '\(answer.name)' in the vault '\(answer.vaultName)'.\n"
        + "Next: tidemark agent add-disk PATH, and tidemark agent run")
  }

  /// What is kept of an earlier enrolment: disks and hooks.
  private func earlier(of directory: AgentDirectory) throws -> AgentConfiguration? {
    guard directory.isEnrolled else { return nil }
    guard again else {
      throw OperationError(
        .refused,
        "This machine is enrolled already. To have it enrolled anew, add --again; its disks are kept."
      )
    }
    // Damage is one of the reasons to enrol again.
    return try? directory.configuration()
  }

  /// The identity the machine has, where it is to keep it: of the same authority, and not to be renamed.
  private func previous(
    in files: IdentityFiles, of directory: AgentDirectory, _ trust: Trust
  ) -> Credentials? {
    guard again, let old = try? files.load(), old.trust.fingerprint == trust.fingerprint else {
      return nil
    }
    let known = try? directory.configuration().name
    return name == nil || name == known ? old : nil
  }
}
