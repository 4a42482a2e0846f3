internal import ArgumentParser
internal import Operations

/// `tidemark verify [NAME]`
struct VerifyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify", abstract: "Read and check everything a vault holds.",
    discussion: discussion(
      "Names what is damaged, and the recovery points and ranges that it hurts; all others read as "
        + "they should. Needs no permission to write.",
      examples: ["tidemark verify", "tidemark verify web01 --json"],
      ends: [.noVault, .damaged, .unknown, .interrupted]))

  @Argument(help: "The machine's name. Default: all machines.")
  var name: String?

  @OptionGroup var vault: VaultOption
  @OptionGroup var output: OutputOption

  func run() throws {
    Interruption.listen()
    var meter = ProgressMeter()
    let findings = try VerifyVault(machine: name).run(
      in: try vault.opened(),
      progress: { machine, done, total in meter.show(machine, done: done, of: total) },
      cancelled: { Interruption.isRequested })
    let report = VerifyReport(findings: findings)
    Console.endProgress()
    output.print(report.document, text: report.text)
    if !report.isIntact { throw ExitStatus.damaged.code }
  }
}
