internal import ArgumentParser
internal import ControlAPI
internal import Operations
internal import Vault

/// `tidemark verify [NAME]`
struct VerifyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify", abstract: "Read and check everything a vault holds.",
    discussion: discussion(
      "Names what is damaged, and the recovery points and ranges that it hurts; all others read as "
        + "they should. Needs no permission to write. Where a service runs, a machine with an agent whose "
        + "newest recovery point is hurt is resynchronised, so that the next one is whole; older ones can't "
        + "be mended. The disks of drills and failovers are checked too, also while they are in use; where they "
        + "are hurt, the machine's health tells of it.",
      examples: ["tidemark verify", "tidemark verify web01 --json"],
      ends: [.noVault, .damaged, .unknown, .interrupted]))

  @Argument(help: "The machine's name. Default: all machines.")
  var name: String?

  @OptionGroup var vault: VaultOption
  @OptionGroup var output: OutputOption

  func run() throws {
    Interruption.listen()
    var meter = ProgressMeter()
    let vault = try vault.opened()
    let findings = try VerifyVault(machine: name).run(
      in: vault,
      progress: { machine, done, total in meter.show(machine, done: done, of: total) },
      cancelled: { Interruption.isRequested })
    let report = VerifyReport(findings: findings)
    Console.endProgress()
    output.print(report.document, text: report.text)
    mend(findings, vault)
    if !report.isIntact { throw ExitStatus.damaged.code }
  }

  /// As much of a text as a service takes.
  private static func shortened(_ text: String) -> String {
    String(decoding: text.utf8.prefix(1990), as: UTF8.self)
  }

  /// Has the machines resynchronised whose newest recovery point is hurt, and tells the service of recovered
  /// disks that are, or are not any more.
  private func mend(_ findings: [VerifyVault.Finding], _ vault: Vault) {
    let hurt = findings.compactMap { finding in
      finding.report?.newestDamage.map { (finding.machine, $0) }
    }
    let recovered = findings.filter { $0.branch != nil }
    let isBroken = findings.contains(where: \.hasBrokenDisks)
    guard !hurt.isEmpty || !recovered.isEmpty else { return }
    guard let service = ServiceAccess.running(for: vault) else {
      guard !hurt.isEmpty || isBroken else { return }
      return Console.note(
        "No service runs that you may ask. Start it and run 'tidemark verify' again: machines whose "
          + "newest recovery point is hurt are resynchronised then, and the health of others tells of it."
      )
    }
    for finding in recovered {
      guard let branch = finding.branch else { continue }
      let name = finding.machine
      let broken = findings.compactMap { $0.brokenDisks(of: branch) }.first
      do throws(OperationError) {
        _ = try service.noteChecked(
          name, branch: "\(branch)", damage: broken.map(Self.shortened))
      } catch {
        // What is left of an earlier failover is nobody's health.
        guard broken != nil, error.code != .refused else { continue }
        Console.note("tidemark: the health of '\(name)' does not tell of it. \(error.message)")
      }
    }
    for (name, damage) in hurt {
      do throws(OperationError) {
        let state = try service.requireResynchronisation(
          of: name, because: damage.reasonToResynchronise
        ).state
        Console.note(
          "Resynchronisation of '\(name)' is \(state); 'tidemark machine show \(name)' tells more.")
      } catch { Console.note("tidemark: '\(name)' is not resynchronised. \(error.message)") }
    }
  }
}
