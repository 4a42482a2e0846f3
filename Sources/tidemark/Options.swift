internal import ArgumentParser
internal import Glibc
internal import Operations
internal import Vault

/// Which vault a command is about.
struct VaultOption: ParsableArguments {
  @Option(
    name: .customLong("vault"),
    help: ArgumentHelp(
      "The vault: its directory, or its friendly name. Default: TIDEMARK_VAULT.",
      valueName: "vault"))
  var vault: String?

  init() {}

  /// The vault that is named so, or the usual one if none is named.
  init(of name: String?) { vault = name }

  /// Opens the vault for reading.
  func opened(isGlancing: Bool = false) throws(OperationError) -> Vault {
    try lookup.open(isGlancing: isGlancing)
  }

  /// The vault's directory, whether it can be opened or not.
  func directory() throws(OperationError) -> String { try lookup.directory() }

  private var lookup: VaultLookup {
    VaultLookup(
      option: vault, variable: Environment.value("TIDEMARK_VAULT"),
      registry: Environment.registry)
  }
}

/// How a command prints data.
struct OutputOption: ParsableArguments {
  @Flag(name: .customLong("json"), help: "Print one JSON object instead of text.")
  var json = false

  /// Prints a document as JSON, or the text in its place.
  func print(_ document: some Encodable, text: @autoclosure () -> String) {
    Console.out(json ? JSONText.page(document) : text())
  }
}

/// Whether what can't be undone is meant.
struct ConfirmationOption: ParsableArguments {
  @Flag(help: "Do not ask.")
  var yes = false

  /// Goes on if `--yes` was given, or if a person at a terminal types `name`; `what` is a sentence without
  /// its stop that says what will be lost.
  ///
  /// - Throws: `.refused`.
  func confirm(_ what: String, of name: String) throws(OperationError) {
    guard !yes else { return }
    guard Console.canAsk else {
      throw OperationError(.refused, "\(what). If that is meant, add --yes.")
    }
    guard Console.ask("\(what). Type the machine's name to go on:") == name else {
      throw OperationError(.refused, "The name was not typed; nothing was changed.")
    }
  }
}

/// The variables the process was started with.
enum Environment {
  /// A variable's value; nil if it is not set.
  static func value(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

  /// The user's friendly names of vaults.
  static var registry: VaultRegistry {
    VaultRegistry(configurationHome: value("XDG_CONFIG_HOME"), home: value("HOME"))
  }
}

/// The text below a command's one-line description: examples, and how it can end.
func discussion(
  _ text: String = "", examples: [String], ends statuses: [ExitStatus]
) -> String {
  let common: [ExitStatus] = [.done, .failed, .usage]
  let all = (common + statuses).sorted { $0.rawValue < $1.rawValue }
  return (text.isEmpty ? "" : text + "\n\n")
    + "EXAMPLES\n" + examples.map { "  " + $0 }.joined(separator: "\n")
    + "\n\nEXIT STATUS\n" + ExitStatus.table(all)
}
