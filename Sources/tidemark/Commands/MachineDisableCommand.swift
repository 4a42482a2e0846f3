internal import ArgumentParser
internal import ControlAPI
internal import Operations

/// `tidemark machine disable NAME`
struct MachineDisableCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "disable",
    abstract: "End the protection of a machine, and remove its recovery points.",
    discussion: discussion(
      """
      The machine stays enrolled, unless it was revoked, and can be enabled again, which copies everything anew. \
      It is refused during a drill.

      Of a machine that is failed over the disks stay, with what they are made of, and are the only copy then: a \
      failover that was not committed is final by this. 'tidemark failover discard' removes them; until then the \
      machine can't be enabled. Without --yes the name has to be typed again.
      """,
      examples: ["tidemark machine disable old01 --yes"],
      ends: [.noVault, .locked, .unknown, .refused, .unwritable]))

  @Argument(help: "The machine's name.")
  var name: String

  @OptionGroup var confirmation: ConfirmationOption
  @OptionGroup var vault: VaultOption

  func run() throws {
    try confirmation.confirm("This removes every recovery point of '\(name)'", of: name)
    let left = try ServiceAccess.with(try vault.opened()) { try $0.client.disable(name) }
    Console.note("Protection of '\(name)' is disabled.")
    for remark in left { Console.note("tidemark: \(remark)") }
  }
}
