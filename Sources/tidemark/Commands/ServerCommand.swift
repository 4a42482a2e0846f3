internal import ArgumentParser
internal import ControlAPI
internal import Operations

/// `tidemark server …`
struct ServerCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "server", abstract: "Look at the process servers: the service and its relays.",
    subcommands: [
      ServerListCommand.self, ServerShowCommand.self, ServerRefreshCommand.self,
      ServerRemoveCommand.self,
    ])
}

/// `tidemark server list`
struct ServerListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "List the process servers, with their load and health.",
    discussion: discussion(
      "Ends with 3 if one of them has a warning, with 4 if one is critical.",
      examples: ["tidemark server list", "tidemark server list --json"],
      ends: [.incomplete, .critical, .noVault, .locked, .damaged, .unwritable]))

  @OptionGroup var vault: VaultOption
  @OptionGroup var output: OutputOption

  func run() throws {
    let list = try ServiceAccess.with(try vault.opened()) { try $0.client.servers() }
    output.print(list, text: ServerReport.table(list.servers))
    let worst = list.servers.compactMap { MachineStatus.Health(rawValue: $0.health) }.max()
    try ExitStatus.end(with: worst?.rawValue)
  }
}

/// `tidemark server show NAME`
struct ServerShowCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show", abstract: "Show one process server.",
    discussion: discussion(
      "Ends with 3 if it has a warning, with 4 if it is critical.",
      examples: ["tidemark server show relay01", "tidemark server show service --json"],
      ends: [.incomplete, .critical, .noVault, .locked, .damaged, .unknown, .unwritable]))

  @Argument(help: "Its name; 'service' is the service itself.")
  var name: String

  @OptionGroup var vault: VaultOption
  @OptionGroup var output: OutputOption

  func run() throws {
    let server = try ServiceAccess.with(try vault.opened()) { try $0.client.server(named: name) }
    output.print(server, text: ServerReport.text(server))
    try ExitStatus.end(with: server.health)
  }
}

/// `tidemark server refresh NAME`
struct ServerRefreshCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "refresh", abstract: "Ask a process server how it is doing, and show it.",
    discussion: discussion(
      "Relays tell by themselves every half minute. Ends with 3 if it has a warning, with 4 if it is "
        + "critical.",
      examples: ["tidemark server refresh relay01"],
      ends: [.incomplete, .critical, .noVault, .locked, .damaged, .unknown, .unwritable]))

  @Argument(help: "Its name.")
  var name: String

  @OptionGroup var vault: VaultOption
  @OptionGroup var output: OutputOption

  func run() throws {
    let server = try ServiceAccess.with(try vault.opened()) {
      try $0.client.refreshServer(named: name)
    }
    output.print(server, text: ServerReport.text(server))
    try ExitStatus.end(with: server.health)
  }
}

/// `tidemark server remove NAME`
struct ServerRemoveCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "remove", abstract: "Revoke a relay's certificate, and forget it.",
    discussion: discussion(
      """
      Its machines must have been moved away before. What it still has in its cache is not taken any \
      more; the machines' agents send it again.
      """,
      examples: ["tidemark server remove relay01"],
      ends: [.noVault, .locked, .damaged, .unknown, .refused, .unwritable]))

  @Argument(help: "Its name.")
  var name: String

  @OptionGroup var vault: VaultOption

  func run() throws {
    try ServiceAccess.with(try vault.opened()) { try $0.client.removeServer(named: name) }
    Console.note("The process server '\(name)' is removed.")
  }
}
