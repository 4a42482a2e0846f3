internal import ArgumentParser
internal import ControlAPI
internal import Operations
internal import Vault

/// `tidemark machine enable NAME…`
struct MachineEnableCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "enable", abstract: "Protect machines that have enrolled with an agent.",
    discussion: discussion(
      """
      From its agent's next contact on, each machine makes a recovery point at every interval. The \
      first cycle copies everything. Several machines get the same settings.
      """,
      examples: [
        "tidemark machine enable web01", "tidemark machine enable web01 db01 --interval 60",
        "tidemark machine enable db01 --exclude 2",
      ], ends: [.noVault, .locked, .unknown, .refused, .unwritable, .interrupted]))

  @Argument(help: "The machines' names.")
  var names: [String]

  @Option(help: ArgumentHelp("Seconds between two cycles.", valueName: "seconds"))
  var interval = 300

  @Option(
    help: ArgumentHelp(
      "Seconds between two app-consistent recovery points; 0 for none.", valueName: "seconds"))
  var applicationInterval = 3600

  @Option(
    help: ArgumentHelp("A disk that is not replicated; may be repeated.", valueName: "number"))
  var exclude: [Int] = []

  @Option(help: "linux or windows; what the agent says unless it is given.")
  var os: Choice<OperatingSystem>?

  @OptionGroup var vault: VaultOption
  @OptionGroup var output: OutputOption

  func run() throws {
    Interruption.listen()
    var options = ProtectionOptions()
    options.excluded = Set(exclude)
    (options.cycleSeconds, options.applicationSeconds) = (interval, applicationInterval)
    options.operatingSystem = os?.value
    let chosen = options
    try ServiceAccess.with(try vault.opened()) { access in
      var jobs: [JobDocument] = []
      for name in names {
        let job = try access.follow(try access.client.enable(name, chosen)) { _ in }
        jobs.append(job)
        if !output.json, job.error == nil { Console.note("Protection of '\(name)' is enabled.") }
      }
      if output.json { Console.out(JSONText.page(JobListDocument(jobs: jobs))) }
      for job in jobs { if let error = job.error { throw error.outcome } }
    }
  }
}

/// `tidemark machine disable NAME`
struct MachineDisableCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "disable",
    abstract: "End the protection of a machine, and remove its recovery points.",
    discussion: discussion(
      "The machine stays enrolled and can be enabled again, which copies everything anew.",
      examples: ["tidemark machine disable old01 --yes"],
      ends: [.noVault, .locked, .unknown, .refused, .unwritable]))

  @Argument(help: "The machine's name.")
  var name: String

  @Flag(help: "Do not ask.")
  var yes = false

  @OptionGroup var vault: VaultOption

  func run() throws {
    guard yes else {
      throw OperationError(
        .refused, "This removes every recovery point of '\(name)'. If that is meant, add --yes.")
    }
    let left = try ServiceAccess.with(try vault.opened()) { try $0.client.disable(name) }
    Console.note("Protection of '\(name)' is disabled.")
    for remark in left { Console.note("tidemark: \(remark)") }
  }
}

/// `tidemark machine pause NAME`
struct MachinePauseCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "pause", abstract: "Let the replication of a machine rest.",
    discussion: discussion(
      "Its recovery points stay. 'tidemark machine resume' lets it go on.",
      examples: ["tidemark machine pause web01"],
      ends: [.noVault, .locked, .unknown, .refused, .unwritable]))

  @Argument(help: "The machine's name.")
  var name: String

  @OptionGroup var vault: VaultOption

  func run() throws {
    try ServiceAccess.with(try vault.opened()) { try $0.client.setPaused(true, machine: name) }
    Console.note("Replication of '\(name)' is paused.")
  }
}

/// `tidemark machine resume NAME`
struct MachineResumeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "resume", abstract: "Let the replication of a machine go on.",
    discussion: discussion(
      examples: ["tidemark machine resume web01"],
      ends: [.noVault, .locked, .unknown, .refused, .unwritable]))

  @Argument(help: "The machine's name.")
  var name: String

  @OptionGroup var vault: VaultOption

  func run() throws {
    try ServiceAccess.with(try vault.opened()) { try $0.client.setPaused(false, machine: name) }
    Console.note("Replication of '\(name)' goes on.")
  }
}
