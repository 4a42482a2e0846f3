internal import ArgumentParser
internal import Catalog
internal import ControlAPI
internal import Operations

/// `tidemark failover flatten`
struct FailoverFlattenCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "flatten",
    abstract: "Copy the disks of a failed-over machine to plain files, while they are used.",
    discussion: discussion(
      """
      Every disk becomes one sparse file in the vault, which takes as much room as the disk holds, and is read \
      and written there from then on: without the recovery point it was made from, without a budget, and without \
      checksums; which bytes were written since the failover is not known any more. It stays at its place, and nothing that uses it notices. It is copied in the background, and a \
      copy that is cut off goes on by itself; with --cancel it is given up, as long as it has not ended.

      Once only the vault's reserve is left (a 32nd of its file system, at most 2 GiB), a write that takes more \
      room is refused. After a flush that failed nothing is written until the disks are served anew: look at \
      the disk that the vault lies on first, for writes may be lost.
      """,
      examples: [
        "tidemark failover flatten web01", "tidemark failover flatten web01 --follow",
        "tidemark failover flatten web01 --cancel",
      ],
      ends: [.noVault, .locked, .unknown, .refused, .unwritable, .interrupted]))

  @Argument(help: "The machine's name.")
  var name: String

  @Flag(help: "Wait for its end, and show how far it is.")
  var follow = false

  @Flag(help: "Give up the copy that runs.")
  var cancel = false

  @OptionGroup var vault: VaultOption
  @OptionGroup var output: OutputOption

  func validate() throws {
    guard !follow || !cancel else {
      throw ValidationError("--follow and --cancel exclude each other.")
    }
  }

  func run() throws {
    Interruption.listen()
    let job = try ServiceAccess.with(try vault.opened()) { access -> JobDocument in
      guard !cancel else { return try access.client.cancel(try running(access.client)) }
      let job = try access.client.flattenFailover(name)
      guard access.isService, !follow else { return try watch(job, access) }
      return job
    }
    Console.endProgress()
    output.print(job, text: JobReport.line(job))
    if !cancel, let error = job.error { throw error.outcome }
  }

  /// The number of the job that copies the machine's disks.
  private func running(_ client: ControlClient) throws -> Int64 {
    let jobs = try client.jobs(after: 0, limit: 1000).jobs
    let found = jobs.first {
      $0.kind == RecoveryAction.flatten.name && $0.machine == name && !$0.state.isFinal
    }
    guard let found else {
      throw OperationError(.refused, "The disks of '\(name)' are not being copied.")
    }
    return found.id
  }

  /// Follows the job. Whoever stops waiting stops nothing else; a process without a service does the work.
  private func watch(_ first: JobDocument, _ access: ServiceAccess) throws -> JobDocument {
    var (job, meter) = (first, ProgressMeter())
    while !job.state.isFinal, !(Interruption.isRequested && access.isService) {
      Interruption.wait(milliseconds: 200)
      job = try access.client.job(job.id)
      guard let progress = job.progress else { continue }
      meter.show(
        progress.step, done: progress.doneBytes, of: progress.totalBytes, isLast: job.state.isFinal)
    }
    return job
  }
}
