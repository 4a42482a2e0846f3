internal import ArgumentParser
internal import ControlAPI
internal import Operations

/// `tidemark health [NAME]`
struct HealthCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "health", abstract: "Show what is wrong now, or how a machine's replication goes.",
    discussion: discussion(
      """
      Without a name: the current errors, the most severe first, then what impacts most, each with what \
      to do. 'tidemark events' tells when each began and ended. With a name: the machine's RPO over \
      time, what changes on its disks, what is sent, and where the time goes. Needs the service. Ends \
      with 3 for warnings, with 4 if something is critical.
      """,
      examples: ["tidemark health", "tidemark health web01 --hours 2", "tidemark health --json"],
      ends: [.incomplete, .critical, .noVault, .damaged, .unknown, .refused]))

  @Argument(help: "The machine's name.")
  var name: String?

  @Option(help: ArgumentHelp("How far back the past is shown, up to 168.", valueName: "hours"))
  var hours = 24

  @OptionGroup var vault: VaultOption
  @OptionGroup var output: OutputOption

  func validate() throws {
    guard (0...168).contains(hours) else {
      throw ValidationError("--hours takes a number from 0 to 168.")
    }
  }

  func run() throws {
    guard let service = ServiceAccess.running(for: try vault.opened()) else {
      throw OperationError(
        .refused,
        "No service runs for this vault that you may ask, and only a service knows how everything is. "
          + "'tidemark status' tells what the vault's files do.")
    }
    if let name {
      let health = try service.health(of: name, hours: hours)
      output.print(health, text: HealthReport.text(health))
      try ExitStatus.end(with: health.machine.health)
    } else {
      let status = try service.status()
      output.print(status, text: HealthReport.text(status))
      try ExitStatus.end(with: status.health)
    }
  }
}

extension ExitStatus {
  /// Ends the command unless this health is a good one.
  static func end(with health: String?) throws {
    switch health {
    case "warning": throw ExitStatus.incomplete.code
    case "critical": throw ExitStatus.critical.code
    default: break
    }
  }
}
