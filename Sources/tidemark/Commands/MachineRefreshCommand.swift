internal import ArgumentParser
internal import ControlAPI
internal import Operations

/// `tidemark machine refresh [NAME…]`
struct MachineRefreshCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "refresh", abstract: "Let agents tell anew what their machines are.",
    discussion: discussion(
      "Ends once every agent has answered, or with 3 if one has not for 40 seconds. A cycle that runs "
        + "is not disturbed. Without names all machines that enrolled are asked.",
      examples: ["tidemark machine refresh", "tidemark machine refresh web01"],
      ends: [.incomplete, .noVault, .locked, .unknown, .refused, .unwritable, .interrupted]))

  @Argument(help: "The machines' names.")
  var names: [String] = []

  @OptionGroup var vault: VaultOption
  @OptionGroup var output: OutputOption

  func run() throws {
    Interruption.listen()
    try ServiceAccess.with(try vault.opened()) { access in
      guard access.isService else {
        throw OperationError(
          .refused, "No service runs for this vault, so no agent can be asked. Start it first.")
      }
      let job = try access.follow(try access.client.refresh(names)) { _ in }
      if output.json { Console.out(JSONText.page(job)) }
      if let error = job.error { throw error.outcome }
      guard !output.json else { return }
      Console.note("\(Words.count(job.tasks.count, "agent")) told anew.")
    }
  }
}
