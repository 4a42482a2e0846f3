internal import ArgumentParser

/// `tidemark machine …`
struct MachineCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "machine", abstract: "Add machines to a vault, look at them, or remove them.",
    subcommands: [
      MachineAddCommand.self, MachineListCommand.self, MachineShowCommand.self,
      MachineRemoveCommand.self, MachineEnableCommand.self, MachineDisableCommand.self,
      MachinePauseCommand.self, MachineResumeCommand.self, MachineSetCommand.self,
      MachineReplicateCommand.self, MachineRevokeCommand.self, MachineRefreshCommand.self,
      MachineResynchroniseCommand.self, MachineStartCommand.self, MachineStopCommand.self,
      MachineConnectCommand.self,
    ])
}
