internal import ArgumentParser
internal import Catalog
internal import ControlAPI
internal import Operations

/// From which recovery point, and as what, a machine is recovered.
struct RecoveryOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "latest (what remains once everything received was processed), latest-processed, "
        + "latest-app-consistent, an instant, an id or a label.", valueName: "point"))
  var point = "latest"

  @Option(
    help: ArgumentHelp(
      "The network that all adapters of its machine join, whatever is set for them. Default: an isolated one "
        + "in a drill, what is set for each adapter in a failover, and for another point what was asked for "
        + "before, unless 'default' is said.", valueName: "network"))
  var network: String?

  @Flag(help: "Start its machine; the compute provider has to be able to.")
  var boot = false

  @Option(
    help: ArgumentHelp(
      "Bytes that may be written to its disks, such as 20G; writes fail then. Default: as many as the vault "
        + "has room for.", valueName: "size"))
  var budget: ByteCount?

  /// What is asked for.
  func request(isConfirmed: Bool = false) -> RecoveryRequestDocument {
    var request = RecoveryRequestDocument(point: point)
    (request.network, request.boot) = (network, boot)
    (request.confirm, request.budgetBytes) = (isConfirmed, budget.map { UInt64($0.bytes) })
    return request
  }
}

/// How a command waits for the job that it began.
struct WaitOption: ParsableArguments {
  @Flag(help: "Begin it, and do not wait for its end.")
  var noWait = false

  /// Follows a job to its end, a line for each part on a terminal; whoever stops waiting stops nothing.
  func follow(_ first: JobDocument, _ access: ServiceAccess) throws -> JobDocument {
    guard !noWait || !access.isService else { return first }
    var (job, told) = (first, Set<String>())
    while true {
      for task in job.tasks where task.state != .notStarted {
        let line = "\(task.name): \(JobReport.words(of: task))"
        if told.insert(line).inserted, Console.isWatched { Console.note(line) }
      }
      guard !job.state.isFinal, !(Interruption.isRequested && access.isService) else { return job }
      Interruption.wait(milliseconds: 100)
      job = try access.client.job(job.id)
    }
  }
}

/// A command that begins a job of a machine's recovery.
protocol RecoveryCommand: ParsableCommand {
  var vault: VaultOption { get }
  var output: OutputOption { get }
  var wait: WaitOption { get }
}

extension RecoveryCommand {
  /// Begins the job, follows it, and prints how it ended, and where the disks are.
  func carry(
    out name: String, _ begin: (ControlClient) throws(OperationError) -> JobDocument
  ) throws {
    Interruption.listen()
    try ServiceAccess.with(try vault.opened()) { access in
      let job = try wait.follow(try begin(access.client), access)
      output.print(job, text: JobReport.line(job))
      if let error = job.error { throw error.outcome }
      guard !output.json, job.state.isFinal, let directory = job.recovery?.directory else { return }
      Console.note("The disks of '\(name)' are in \(directory).")
    }
  }
}
