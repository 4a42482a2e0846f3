internal import ArgumentParser
internal import Catalog
internal import ControlAPI
internal import Operations

/// `tidemark jobs`
struct JobsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "jobs", abstract: "Show long operations: what runs, and how others ended.",
    discussion: discussion(
      "With a number: that job, with its tasks. With --follow every change is shown, a line each, until "
        + "that job has ended, or, of all, until SIGINT or SIGTERM, or until the service ends; with --json each "
        + "is one JSON object.",
      examples: [
        "tidemark jobs", "tidemark jobs 12", "tidemark jobs --follow",
        "tidemark jobs 12 --follow", "tidemark jobs --limit 5 --json",
      ],
      ends: [.noVault, .locked, .damaged, .unknown, .unwritable]))

  @Argument(help: "The job's number.")
  var job: Int64?

  @OptionGroup var list: ListOption
  @OptionGroup var vault: VaultOption
  @OptionGroup var output: OutputOption

  func run() throws {
    Interruption.listen()
    try ServiceAccess.with(try vault.opened()) { access in
      if let job {
        guard !list.follow else { return try follow(job, access) }
        let found = try access.client.job(job)
        return output.print(found, text: JobReport.text(found))
      }
      let jobs = try access.client.jobs(after: 0, limit: list.limit)
      guard list.follow else {
        return output.print(jobs, text: JobReport.table(jobs.jobs))
      }
      var seen: [Int64: String] = [:]
      try list.watch(access) {
        for job in try access.client.jobs(after: 0, limit: list.limit).jobs.reversed() {
          let line = output.json ? JSONText.line(job) : JobReport.line(job)
          guard seen.updateValue(line, forKey: job.id) != line else { continue }
          Console.out(line)
        }
      }
    }
  }

  /// Shows how a job gets on, until it has ended; who stops looking stops nothing.
  private func follow(_ id: Int64, _ access: ServiceAccess) throws {
    var (job, seen) = (try access.client.job(id), Set<String>())
    while true {
      let parts = job.tasks.filter { $0.state != .notStarted }
        .map { "\($0.name): \(JobReport.words(of: $0))" }
      let lines = output.json ? [JSONText.line(job)] : parts + [JobReport.line(job)]
      for line in lines where seen.insert(line).inserted { Console.out(line) }
      guard !job.state.isFinal, !Interruption.isRequested, access.isService else { return }
      Interruption.wait(milliseconds: 200)
      job = try access.client.job(id)
    }
  }
}

/// `tidemark events`
struct EventsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "events", abstract: "Show what happened, the newest first.",
    discussion: discussion(
      "With --follow new events are shown as they come, the newest last, a line each, until SIGINT "
        + "or SIGTERM, or until the service ends; with --json each is one JSON object.",
      examples: ["tidemark events", "tidemark events --follow --json"],
      ends: [.noVault, .locked, .damaged, .unwritable]))

  @OptionGroup var list: ListOption
  @OptionGroup var vault: VaultOption
  @OptionGroup var output: OutputOption

  func run() throws {
    Interruption.listen()
    try ServiceAccess.with(try vault.opened()) { access in
      guard list.follow else {
        let events = try access.client.events(after: 0, limit: list.limit)
        return output.print(events, text: JobReport.table(events.events))
      }
      var last: Int64 = 0
      try list.watch(access) {
        for event in try access.client.events(after: last, limit: list.limit).events.reversed() {
          Console.out(output.json ? JSONText.line(event) : JobReport.line(event))
          last = event.id
        }
      }
    }
  }
}

/// How much of a list is shown, and whether its changes are.
struct ListOption: ParsableArguments {
  @Option(help: ArgumentHelp("How many to show, 1 to 1000.", valueName: "count"))
  var limit = 100

  @Flag(help: "Go on, and show what changes.")
  var follow = false

  func validate() throws {
    guard (1...1000).contains(limit) else {
      throw ValidationError("--limit takes a number from 1 to 1000.")
    }
  }

  /// Looks once a second until somebody wants this process to end. Without a service nothing can
  /// change, so one look is enough.
  func watch(_ access: ServiceAccess, _ look: () throws -> Void) throws {
    try look()
    guard access.isService else {
      return Console.note("No service runs for this vault, so nothing more comes.")
    }
    while !Interruption.isRequested {
      Interruption.wait(milliseconds: 1000)
      try look()
    }
  }
}
