internal import ArgumentParser
internal import Catalog
internal import ControlAPI
internal import Operations

/// `tidemark token …`
struct TokenCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "token", abstract: "Say who may speak to the API over HTTPS, and what they may.",
    subcommands: [TokenCreateCommand.self, TokenListCommand.self, TokenRevokeCommand.self])
}

extension AccessRole: Choosable {
  var word: String { rawValue }
}

/// `tidemark token create NAME --role ROLE`
struct TokenCreateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "create", abstract: "Make a token, and print it this once.",
    discussion: discussion(
      "A reader looks and lists; an operator also replicates and cancels; an administrator may do "
        + "everything. Only a digest of the token is kept.",
      examples: [
        "tidemark token create monitor --role reader",
        "tidemark token create night-shift --role operator --valid 30d",
      ],
      ends: [.noVault, .locked, .damaged, .refused, .unwritable]))

  @Argument(help: "What to call it.")
  var name: String

  @Option(help: "reader, operator or administrator.")
  var role: Choice<AccessRole>

  @Option(
    help: ArgumentHelp("For how long, such as 12h, 30d, 4w. Default: for good.", valueName: "time"))
  var valid: String?

  @OptionGroup var vault: VaultOption
  @OptionGroup var output: OutputOption

  func validate() throws {
    guard valid == nil || Lifetime(valid) != nil else { throw Lifetime.misspelt }
  }

  func run() throws {
    let wanted = NewTokenDocument(
      name: name, role: role.value, validSeconds: Lifetime(valid)?.seconds)
    let token = try ServiceAccess.with(try vault.opened()) { try $0.client.makeToken(wanted) }
    output.print(token, text: token.token ?? "")
    if !output.json { Console.note("Keep it safe: it is not shown again.") }
  }
}

/// `tidemark token list`
struct TokenListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "List the tokens, without their secrets.",
    discussion: discussion(
      examples: ["tidemark token list"], ends: [.noVault, .locked, .damaged, .unwritable]))

  @OptionGroup var vault: VaultOption
  @OptionGroup var output: OutputOption

  func run() throws {
    let tokens = try ServiceAccess.with(try vault.opened()) { try $0.client.tokens() }
    output.print(tokens, text: TokenReport.table(tokens.tokens))
  }
}

/// `tidemark token revoke NAME`
struct TokenRevokeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "revoke", abstract: "Refuse a token from now on.",
    discussion: discussion(
      examples: ["tidemark token revoke monitor"],
      ends: [.noVault, .locked, .damaged, .unknown, .unwritable]))

  @Argument(help: "What it is called.")
  var name: String

  @OptionGroup var vault: VaultOption

  func run() throws {
    try ServiceAccess.with(try vault.opened()) { try $0.client.revokeToken(named: name) }
    Console.note("Revoked the token '\(name)'.")
  }
}
