internal import ArgumentParser
internal import Catalog
internal import ControlAPI
internal import Operations

/// `tidemark machine resynchronise NAME`
struct MachineResynchroniseCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "resynchronise",
    abstract: "Compare everything on a machine with its replica, and send what differs.",
    discussion: discussion(
      """
      Where this is required, nothing is replicated until it is done: 'tidemark machine show' says \
      why. It begins by itself in the machine's window ('tidemark machine set --resync-window'), or \
      here, at once. It makes no recovery points before its end; older ones stay. With --cancel what it \
      has stored is given up, and it is required as before.
      """,
      examples: [
        "tidemark machine resynchronise web01", "tidemark machine resynchronise web01 --cancel",
        "tidemark machine resynchronise web01 --no-wait",
      ], ends: [.noVault, .locked, .unknown, .refused, .unwritable, .interrupted]))

  @Argument(help: "The machine's name.")
  var name: String

  @Flag(help: "Stop the one that runs.")
  var cancel = false

  @Flag(help: "Begin it, and do not wait for its end.")
  var noWait = false

  @OptionGroup var vault: VaultOption
  @OptionGroup var output: OutputOption

  func run() throws {
    Interruption.listen()
    let job = try ServiceAccess.with(try vault.opened()) { access -> JobDocument? in
      guard !cancel else {
        try access.client.cancelResynchronisation(of: name)
        return nil
      }
      let job = try access.client.resynchronise(name)
      guard access.isService, !noWait else { return job }
      return try watch(job, access)
    }
    guard let job else {
      return Console.note("The resynchronisation of '\(name)' is cancelled, and still required.")
    }
    Console.endProgress()
    output.print(job, text: JobReport.line(job))
    if let error = job.error { throw error.outcome }
  }

  /// Follows the job. Whoever stops waiting stops nothing else.
  private func watch(_ first: JobDocument, _ access: ServiceAccess) throws -> JobDocument {
    var (job, meter) = (first, ProgressMeter())
    while !job.state.isFinal, !Interruption.isRequested {
      Interruption.wait(milliseconds: 200)
      job = try access.client.job(job.id)
      guard let progress = job.progress else { continue }
      meter.show(
        progress.step, done: progress.doneBytes, of: progress.totalBytes, isLast: job.state.isFinal
      ) { progress.changedBytes.map { "\(Words.size($0)) differed" } }
    }
    return job
  }
}
