internal import ArgumentParser
internal import Bytes
internal import ControlAPI
internal import Operations

/// `tidemark key …`
struct KeyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "key",
    abstract:
      "Make the keys that machines enrol with, look at them, revoke one, or renew the service's.",
    subcommands: [
      KeyCreateCommand.self, KeyListCommand.self, KeyRevokeCommand.self,
      KeyRotateServiceCommand.self,
    ])
}

/// `tidemark key create`
struct KeyCreateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "create", abstract: "Make a registration key, and print it this once.",
    discussion: discussion(
      "A machine trades it for a certificate of the vault's own authority, whose fingerprint it "
        + "carries. Only a digest of its secret is kept.",
      examples: [
        "tidemark key create", "tidemark key create --label rack-7 --uses 12 --valid 2d",
        "tidemark key create --machine web01",
      ],
      ends: [.noVault, .locked, .damaged, .unknown, .refused, .unwritable]))

  @Option(help: "What to call it.")
  var label: String?

  @Option(help: ArgumentHelp("For how long, such as 12h or 2d. Default: 5d.", valueName: "time"))
  var valid: String?

  @Option(help: ArgumentHelp("How many machines it may enrol.", valueName: "count"))
  var uses = 1

  @Option(
    help: ArgumentHelp(
      "The machine it enrols anew, under its old name; its earlier certificates are revoked then.",
      valueName: "name"))
  var machine: String?

  @OptionGroup var vault: VaultOption
  @OptionGroup var output: OutputOption

  func validate() throws {
    guard valid == nil || Lifetime(valid) != nil else { throw Lifetime.misspelt }
  }

  func run() throws {
    let wanted = NewKeyDocument(
      label: label, validSeconds: Lifetime(valid)?.seconds, uses: uses, machine: machine)
    let key = try ServiceAccess.with(try vault.opened()) { try $0.client.makeKey(wanted) }
    output.print(key, text: key.key ?? "")
    if !output.json {
      Console.note("Good until \(key.expires) for \(Words.count(uses, "machine")). Keep it safe.")
    }
  }
}

/// `tidemark key list`
struct KeyListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "List the registration keys, without their secrets.",
    discussion: discussion(
      examples: ["tidemark key list"], ends: [.noVault, .locked, .damaged, .unwritable]))

  @OptionGroup var vault: VaultOption
  @OptionGroup var output: OutputOption

  func run() throws {
    let keys = try ServiceAccess.with(try vault.opened()) { try $0.client.keys() }
    output.print(keys, text: TokenReport.table(keys.keys))
  }
}

/// `tidemark key revoke ID`
struct KeyRevokeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "revoke", abstract: "Refuse a registration key from now on.",
    discussion: discussion(
      "Machines that enrolled with it keep their certificates.",
      examples: ["tidemark key revoke 69aa4267-2b4a-4f2d-87f8-80c58c432900"],
      ends: [.noVault, .locked, .damaged, .unknown, .unwritable]))

  @Argument(help: "Its id.")
  var id: String

  @OptionGroup var vault: VaultOption

  func run() throws {
    try ServiceAccess.with(try vault.opened()) { try $0.client.revokeKey(id) }
    Console.note("Revoked the registration key \(id).")
  }
}

/// `tidemark key rotate-service`
struct KeyRotateServiceCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rotate-service",
    abstract: "Give the service a new key and certificate of its own.",
    discussion: discussion(
      "It does that by itself when two thirds of the life of the old one are over. New connections see "
        + "the new one at once, live ones go on; agents and relays know it by the vault's authority, and "
        + "notice nothing. SIGHUP has a running service do the same.",
      examples: ["tidemark key rotate-service", "tidemark key rotate-service --json"],
      ends: [.noVault, .locked, .damaged, .refused, .unwritable]))

  @OptionGroup var vault: VaultOption
  @OptionGroup var output: OutputOption

  func run() throws {
    let made = try ServiceAccess.with(try vault.opened()) { try $0.client.rotateCertificate() }
    output.print(made, text: "Certificate \(made.serial), good until \(made.notAfter).")
  }
}

/// For how long something is good, as a person writes it: `12h`, `30d`.
struct Lifetime {
  let seconds: Int64

  /// Nil if nothing was written, or nothing that is a length of time.
  init?(_ text: String?) {
    guard let text, case .ago(let seconds) = Instant(text + "-ago") else { return nil }
    self.seconds = seconds
  }

  static let misspelt = ValidationError(
    "--valid takes a number and a unit of s, m, h, d or w, such as 30d.")
  static let misspeltThreshold = ValidationError(
    "--rpo-threshold takes a number and a unit of s, m, h, d or w, such as 15m.")
}
