internal import ArgumentParser
internal import Capture
internal import Catalog
internal import ControlAPI
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

      A disk that was put back, replaced, or whose last clone is gone is refused until --resynchronise \
      is given, which compares all of it with the replica.

      Clones of --capture reflink are kept only while enough of their file system is free, since \
      every overwrite of a cloned image takes new space.
      """,
      examples: [
        "tidemark replicate web01", "tidemark replicate web01 --label before-upgrade",
        "tidemark replicate web01 --accept-size", "tidemark replicate web01 --resynchronise",
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

  @Flag(
    help:
      "Compare everything with the replica, also of a disk that was put back or has another size.")
  var resynchronise = false

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
    var options = CaptureOptions()
    options.label = label
    options.acceptSize = acceptSize
    options.resynchronises = resynchronise
    options.cloneFloorPercent = cloneFloor
    Interruption.listen()
    let job = try ServiceAccess.with(try vault.opened()) { access in
      var meter = ProgressMeter()
      var told = 0
      return try access.follow(try access.client.replicate(name, options)) { job in
        show(job, &meter)
        told = tell(job, after: told)
      }
    }
    Console.endProgress()
    if output.json, let replication = job.replication, !replication.cycles.isEmpty {
      Console.out(JSONText.page(replication))
    }
    if let error = job.error { throw error.outcome }
  }

  private func show(_ job: JobDocument, _ meter: inout ProgressMeter) {
    guard let progress = job.progress else { return }
    meter.show(
      progress.step, done: progress.doneBytes, of: progress.totalBytes, isLast: job.state.isFinal
    ) { progress.changedBytes.map { "\(Words.size($0)) changed" } }
  }

  /// Tells of points that were made since the last look, before runs are merged.
  private func tell(_ job: JobDocument, after told: Int) -> Int {
    guard !output.json, let cycles = job.replication?.cycles, cycles.count > told else {
      return told
    }
    for cycle in cycles[told...] {
      Console.endProgress()
      Console.out(cycle.point.id)
      Console.note(ReplicationReport.remarks(cycle))
    }
    return cycles.count
  }
}
