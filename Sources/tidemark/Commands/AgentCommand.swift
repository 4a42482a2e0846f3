internal import Agent
internal import ArgumentParser
internal import Operations

/// `tidemark agent`
struct AgentCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "agent",
    abstract: "Send this machine's disks to the vault of a service elsewhere.",
    subcommands: [
      AgentEnrolCommand.self, AgentAddDiskCommand.self, AgentRemoveDiskCommand.self,
      AgentSetHookCommand.self, AgentRemoveHookCommand.self, AgentTestHookCommand.self,
      AgentGuardCommand.self, AgentPreflightCommand.self, AgentRunCommand.self,
      AgentStatusCommand.self,
    ])
}

/// Where the agent keeps what it knows.
struct AgentOption: ParsableArguments {
  @Option(
    name: .customLong("state"),
    help: ArgumentHelp(
      "The agent's directory. Default: TIDEMARK_AGENT_STATE, or \(AgentDirectory.usual).",
      valueName: "dir"), completion: .directory)
  var state: String?

  /// The directory that is named so, or the usual one.
  func directory() throws -> AgentDirectory {
    let named = state ?? Environment.value("TIDEMARK_AGENT_STATE") ?? AgentDirectory.usual
    return AgentDirectory(at: try absolute(named))
  }
}
