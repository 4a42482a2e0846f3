internal import ArgumentParser
internal import ControlAPI
internal import Operations

/// `tidemark machine revoke NAME`
struct MachineRevokeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "revoke",
    abstract: "Refuse a machine's certificates from now on, and cut its connection.",
    discussion: discussion(
      "For a machine whose key was stolen or that is gone for good. Its recovery points stay, and "
        + "its health is critical until it is back or 'tidemark machine disable' ends its protection. To have it "
        + "back, make a key for it with 'tidemark key create --machine NAME'.",
      examples: ["tidemark machine revoke web01 --yes"],
      ends: [.noVault, .locked, .unknown, .refused, .unwritable]))

  @Argument(help: "The machine's name.")
  var name: String

  @OptionGroup var confirmation: ConfirmationOption
  @OptionGroup var vault: VaultOption

  func run() throws {
    try confirmation.confirm("The agent of '\(name)' will have to enrol again", of: name)
    try ServiceAccess.with(try vault.opened()) { try $0.client.revokeAgent(named: name) }
    Console.note("The certificates of '\(name)' are revoked.")
  }
}
