internal import ArgumentParser
internal import ControlAPI
internal import Operations
internal import Vault

/// `tidemark machine show NAME`
struct MachineShowCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show",
    abstract: "Show a machine: its disks, recovery points, settings, and how it stands.",
    discussion: discussion(
      "How it is replicated, how it stands with its replica, where the time goes, what it is to be when it "
        + "is recovered, and what its disks could boot by are told where a service runs. Of a drill or a "
        + "failover its recovery point and disks are told; jobs, drills and times are the service's to tell.",
      examples: ["tidemark machine show web01"], ends: [.noVault, .damaged, .unknown]))

  @Argument(help: "The machine's name.")
  var name: String

  @OptionGroup var vault: VaultOption
  @OptionGroup var output: OutputOption

  func run() throws {
    let vault = try vault.opened()
    let machine =
      try ServiceAccess.running(for: vault)?.machine(named: name) ?? unserved(in: vault)
    output.print(machine, text: MachineReport.text(machine))
  }

  private func unserved(in vault: Vault) throws(OperationError) -> MachineDocument {
    let summary = try MachineSummary.named(name, in: vault)
    let servers = VaultDiskServers(vault)
    return MachineDocument(
      unserved: summary, servedIn: summary.branch.flatMap { try? servers.place(of: $0) })
  }
}
