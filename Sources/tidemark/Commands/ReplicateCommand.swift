internal import ArgumentParser
internal import Capture
internal import Operations
internal import Vault

/// `tidemark replicate NAME`
struct ReplicateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "replicate",
    abstract: "Copy what changed on a machine's disks into the vault, and make a recovery point.",
    discussion: discussion(
      """
      Prints the id of the new recovery point. The first time everything but holes and zeros is \
      copied, afterwards only the pages that changed. If it is interrupted, what was copied is kept, \
      and the next run goes on from there.

      Clones of --capture reflink are kept only while enough of their file system is free, since \
      every overwrite of a cloned image takes new space.
      """,
      examples: [
        "tidemark replicate web01", "tidemark replicate web01 --label before-upgrade",
        "tidemark replicate web01 --accept-size",
      ],
      ends: [
        .incomplete, .noVault, .locked, .damaged, .unknown, .refused, .source, .unwritable,
        .interrupted,
      ]))

  @Argument(help: "The machine's name.")
  var name: String

  @Option(help: "A name for the recovery point.")
  var label: String?

  @Flag(help: "Go on although a disk has another size than at the last recovery point.")
  var acceptSize = false

  @Option(
    help: ArgumentHelp(
      "Percent of a file system that must be free for clones to be kept there.",
      valueName: "percent"))
  var cloneFloor = CaptureOptions.defaultCloneFloorPercent

  @OptionGroup var vault: VaultOption
  @OptionGroup var output: OutputOption

  func validate() throws {
    guard (0...90).contains(cloneFloor) else {
      throw ValidationError("--clone-floor takes a number from 0 to 90.")
    }
  }

  func run() throws {
    let vault = try vault.opened()
    var options = CaptureOptions()
    options.label = label
    options.acceptSize = acceptSize
    options.cloneFloorPercent = cloneFloor
    Interruption.listen()
    var meter = ProgressMeter()
    var report = ReplicationReport(machine: name, cycles: [])
    var failure: OperationError?
    do throws(OperationError) {
      try Replicate(machine: name, options: options).run(
        in: vault,
        progress: { progress in
          meter.show("disk \(progress.disk)", done: progress.examined, of: progress.total) {
            "\(Words.size(progress.changed)) changed"
          }
        },
        cancelled: { Interruption.isRequested },
        made: { cycle in
          report.cycles.append(cycle)
          tell(cycle)
        })
    } catch { failure = error }
    Console.endProgress()
    if output.json, !report.cycles.isEmpty { Console.out(JSONText.page(report.document)) }
    if let failure { throw failure }
  }

  /// Tells of a point at once, before runs are merged.
  private func tell(_ cycle: CaptureResult) {
    guard !output.json else { return }
    Console.endProgress()
    Console.out(cycle.point.id)
    Console.note(ReplicationReport.remarks(cycle))
  }
}
