internal import ArgumentParser
internal import Catalog
internal import ControlAPI
internal import Operations

/// `tidemark network …`
struct NetworkCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "network",
    abstract: "Make the networks that recovered machines join, look at them, delete one.",
    discussion: """
      A vault begins with an isolated network, 'isolated', which drills are attached to unless another one \
      is chosen. Which network and address each adapter of a machine gets, 'tidemark machine set' says.
      """,
    subcommands: [
      NetworkCreateCommand.self, NetworkListCommand.self, NetworkShowCommand.self,
      NetworkDeleteCommand.self,
    ])
}

/// `tidemark network create NAME`
struct NetworkCreateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "create", abstract: "Make a network.",
    discussion: discussion(
      """
      Nothing gets out of an isolated network. Machines in a user network reach out through this host. Both \
      are reached by forwarded ports alone: while a machine runs, for each of these a port of 127.0.0.1 on \
      this host that is free leads to it, which 'tidemark machine connect --ports' tells. A bridge is one of \
      this host's, which has to be there when a machine is started: Tidemark neither makes it nor gives out \
      its addresses.
      """,
      examples: [
        "tidemark network create drills --isolated",
        "tidemark network create like-home --isolated --subnet 192.168.10.0/24",
        "tidemark network create out --user --forward 22,3389",
        "tidemark network create lan --bridge br0",
      ], ends: [.noVault, .locked, .refused, .unwritable]))

  @Argument(help: "Its name.")
  var name: String

  @Flag(help: "Nothing gets out.")
  var isolated = false

  @Flag(help: "Its machines reach out through this host.")
  var user = false

  @Option(help: ArgumentHelp("A bridge of this host.", valueName: "interface"))
  var bridge: String?

  @Option(
    help: ArgumentHelp(
      "Its addresses, such as 192.168.10.0/24; the first is the network's own, but for a bridge. Default: "
        + "the first of 10.213.0.0/24 (isolated) or 10.214.0.0/24 (user) and so on that is free; of a bridge "
        + "they are not known then, and addresses in it are not checked.",
      valueName: "cidr"))
  var subnet: String?

  @Option(
    help: ArgumentHelp(
      "TCP ports of its machines that this host is to lead to. Default: none.",
      valueName: "port,port"))
  var forward: String?

  @OptionGroup var vault: VaultOption
  @OptionGroup var output: OutputOption

  private var forwards: [Int?] {
    (forward ?? "").split(separator: ",").map { Int($0) }
  }

  func validate() throws {
    guard forwards.allSatisfy({ $0 != nil }), forward?.isEmpty != true else {
      throw ValidationError("--forward takes numbers of ports with commas between them.")
    }
    guard [isolated, user, bridge != nil].filter({ $0 }).count == 1 else {
      throw ValidationError("Choose one of --isolated, --user and --bridge.")
    }
  }

  func run() throws {
    let kind: NetworkRecord.Kind = isolated ? .isolated : user ? .user : .bridge
    let network = try ServiceAccess.with(try vault.opened()) {
      try $0.client.create(
        NewNetwork(
          name: name, kind: kind, bridge: bridge, subnet: subnet,
          forwards: forwards.compactMap { $0 }))
    }
    output.print(network, text: NetworkReport.text(network))
    if !output.json { NetworkReport.warn(of: [network]) }
  }
}

/// `tidemark network list`
struct NetworkListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "List the networks, and what uses them.",
    discussion: discussion(
      examples: ["tidemark network list"], ends: [.noVault, .locked, .damaged, .unwritable]))

  @OptionGroup var vault: VaultOption
  @OptionGroup var output: OutputOption

  func run() throws {
    let found = try ServiceAccess.with(try vault.opened()) { try $0.client.networks() }
    output.print(found, text: NetworkReport.table(found.networks))
    if !output.json { NetworkReport.warn(of: found.networks) }
  }
}

/// `tidemark network show NAME`
struct NetworkShowCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show", abstract: "Show a network, and what uses it.",
    discussion: discussion(
      examples: ["tidemark network show isolated"],
      ends: [.noVault, .locked, .damaged, .unknown, .unwritable]))

  @Argument(help: "Its name.")
  var name: String

  @OptionGroup var vault: VaultOption
  @OptionGroup var output: OutputOption

  func run() throws {
    let network = try ServiceAccess.with(try vault.opened()) {
      try $0.client.network(named: name)
    }
    output.print(network, text: NetworkReport.text(network))
    if !output.json { NetworkReport.warn(of: [network]) }
  }
}

/// `tidemark network delete NAME`
struct NetworkDeleteCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "delete", abstract: "Delete a network that nothing uses.",
    discussion: discussion(
      """
      A bridge of this host stays as it is. Where no isolated network is left, a drill starts a machine only \
      if --network says what it joins.
      """, examples: ["tidemark network delete drills"],
      ends: [.noVault, .locked, .damaged, .unknown, .refused, .unwritable]))

  @Argument(help: "Its name.")
  var name: String

  @OptionGroup var vault: VaultOption

  func run() throws {
    try ServiceAccess.with(try vault.opened()) { try $0.client.deleteNetwork(named: name) }
    Console.note("Deleted the network '\(name)'.")
  }
}
