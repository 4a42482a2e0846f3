internal import Agent
internal import ArgumentParser
internal import Bytes
internal import Logging
internal import ReplicationService

/// `tidemark agent run`
struct AgentRunCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run", abstract: "Send what changes on this machine's disks, until it is stopped.",
    discussion: discussion(
      """
      Keeps a session with the service, and makes a recovery point of all disks at each interval that \
      the service has set, in the foreground, and logs to standard error. Failures of link and service \
      are waited out. SIGTERM or SIGINT ends it; \
      what is stored stays, and the next run goes on from there.
      """,
      examples: ["tidemark agent run", "tidemark agent run --log-format json"],
      ends: [.locked, .damaged, .refused]))

  @Option(help: "trace, debug, info, notice, warning, error or critical.")
  var logLevel = Choice(Logger.Level.info)

  @Option(help: "text or json.")
  var logFormat = Choice(LogFormat.text)

  @OptionGroup var agent: AgentOption

  func run() throws {
    FreedMemory.keep()
    let directory = try agent.directory()
    _ = try directory.configuration()
    let logger = ServiceLog.logger(level: logLevel.value, format: logFormat.value)
    let cancellation = Interruption.cancelling()
    let loop = AgentLoop(
      directory, lock: try directory.lock(), release: Tidemark.version, cancellation: cancellation
    ) { note in
      logger.log(
        level: Logger.Level(note.severity), "\(note.message)",
        metadata: note.fields.mapValues { .string($0) })
    }
    ServiceManager.tell("READY=1")
    try loop.run()
  }
}

extension Logger.Level {
  fileprivate init(_ severity: AgentNote.Severity) {
    switch severity {
    case .info: self = .info
    case .notice: self = .notice
    case .warning: self = .warning
    case .error: self = .error
    }
  }
}

/// `tidemark agent status`
struct AgentStatusCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status", abstract: "Show how this machine's agent is doing.",
    discussion: discussion(
      """
      Ends with 3 if the agent does not run, is not let in, waits for a resynchronisation, or failed at \
      what it did last, also at renewing its certificate or making a point app-consistent.
      """,
      examples: ["tidemark agent status", "tidemark agent status --json"],
      ends: [.incomplete, .damaged, .refused]))

  @OptionGroup var agent: AgentOption
  @OptionGroup var output: OutputOption

  func run() throws {
    let directory = try agent.directory()
    let configuration = try directory.configuration()
    let status = try directory.currentStatus()
    let report = AgentReport(configuration, status)
    output.print(report.document, text: report.text)
    if status.needsAttention { throw ExitStatus.incomplete.code }
  }
}
