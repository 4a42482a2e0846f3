internal import ArgumentParser
internal import ControlAPI
internal import Operations
internal import Vault

/// `tidemark machine enable NAME…`
struct MachineEnableCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "enable", abstract: "Protect machines that have enrolled with an agent.",
    discussion: discussion(
      """
      Shows what will apply, and asks on a terminal. From its agent's next contact on, each machine \
      makes a recovery point at every interval; the first cycle copies everything, and the job \
      'Finalize protection' tells how far it is. Several machines get the same settings; one that \
      can't be protected does not keep the others from it.
      """,
      examples: [
        "tidemark machine enable web01", "tidemark machine enable web01 db01 --interval 60 --yes",
        "tidemark machine enable db01 --exclude 2 --address 10.0.0.12",
        "tidemark machine enable db01 --dry-run --json",
      ],
      ends: [.incomplete, .noVault, .locked, .unknown, .refused, .unwritable, .interrupted]))

  @Argument(help: "The machines' names.")
  var names: [String]

  @Option(
    help: ArgumentHelp(
      "Seconds between two cycles. Default: what 'machine set' said before, or 300.",
      valueName: "seconds"))
  var interval: Int?

  @Option(
    name: .customLong("app-interval"),
    help: ArgumentHelp(
      "Seconds between two app-consistent recovery points; 0 for none. Default: what 'machine set' said "
        + "before, or 3600.",
      valueName: "seconds"))
  var applicationInterval: Int?

  @Option(
    help: ArgumentHelp(
      "How old the newest recovery point may be before there is a warning, such as 15m; nothing else "
        + "depends on it. Default: what 'machine set' said before, or 15m, or three intervals if that is "
        + "longer.",
      valueName: "age"))
  var rpoThreshold: String?

  @Option(
    help: ArgumentHelp("A data disk that is not replicated; may be repeated.", valueName: "number"))
  var exclude: [Int] = []

  @Option(
    help: ArgumentHelp(
      "The internal address of the one machine. Default: what 'machine set' said before, or the first "
        + "that its agent tells.",
      valueName: "ip"))
  var address: String?

  @Option(help: "linux or windows; what the agent says unless it is given.")
  var os: Choice<OperatingSystem>?

  @Option(
    help: ArgumentHelp(
      "The relay that its agent sends to. Default: the one it was sent to before, or the service.",
      valueName: "server"))
  var processServer: String?

  @Flag(help: "Enable it all the same if the agent's preflight found that it can't work.")
  var skipPreflight = false

  @Flag(help: "Show what would apply, and change nothing.")
  var dryRun = false

  @Flag(help: "Do not ask.")
  var yes = false

  @OptionGroup var vault: VaultOption
  @OptionGroup var output: OutputOption

  func validate() throws {
    guard address == nil || names.count == 1 else {
      throw ValidationError("--address is that of one machine; enable the others by themselves.")
    }
    guard rpoThreshold == nil || Lifetime(rpoThreshold) != nil else {
      throw Lifetime.misspeltThreshold
    }
  }

  private var options: ProtectionOptions {
    var options = ProtectionOptions()
    options.excluded = Set(exclude)
    (options.cycleSeconds, options.applicationSeconds) = (interval, applicationInterval)
    options.rpoSeconds = Lifetime(rpoThreshold).map { Int(clamping: $0.seconds) }
    (options.operatingSystem, options.address) = (os?.value, address)
    (options.skipsPreflight, options.processServer) = (skipPreflight, processServer)
    return options
  }

  func run() throws {
    Interruption.listen()
    try ServiceAccess.with(try vault.opened()) { access in
      var report = ProtectionReport()
      for name in names {
        do throws(OperationError) {
          report.add(try access.client.plan(name, options), of: name)
        } catch { report.add(error, of: name) }
      }
      if !output.json { show(report) }
      if dryRun {
        if output.json { Console.out(JSONText.page(report.document)) }
      } else if try isConfirmed(report) {
        try enable(&report, access)
      }
      if let failure = report.failure { throw failure }
    }
  }

  private func show(_ report: ProtectionReport) {
    if let table = report.table { Console.out(table) }
    for remark in report.remarks { Console.note("tidemark: \(remark)") }
  }

  /// Only a person at a terminal is asked, and only what can still be enabled.
  private func isConfirmed(_ report: ProtectionReport) throws(OperationError) -> Bool {
    guard !yes, !output.json, Console.canAsk, !report.planned.isEmpty else { return true }
    let answer = Console.ask(
      "Enable protection of \(Words.count(report.planned.count, "machine"))? [y/N]")
    guard let answer, ["y", "yes"].contains(answer.lowercased()) else {
      throw OperationError(
        .refused, "Nothing was enabled, as nobody agreed. Answer with y, or run it with --yes.")
    }
    return true
  }

  private func enable(_ report: inout ProtectionReport, _ access: ServiceAccess) throws {
    for name in report.planned {
      do {
        let job = try access.follow(try access.client.enable(name, options)) { _ in }
        report.add(job, of: name)
        if !output.json, job.error == nil { Console.note("Protection of '\(name)' is enabled.") }
      } catch let error as OperationError {
        report.add(error, of: name)
        if !output.json { Console.note("tidemark: \(error.message)") }
      }
    }
    if output.json { Console.out(JSONText.page(report.document)) }
  }
}
