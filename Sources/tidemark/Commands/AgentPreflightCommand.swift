internal import Agent
internal import ArgumentParser
internal import ControlAPI
internal import Operations

/// `tidemark agent preflight`
struct AgentPreflightCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "preflight", abstract: "Look whether this machine's agent can do its work.",
    discussion: discussion(
      """
      Looks at the ports of the service, and that of the relay the machine was sent to, the clock, the \
      room for what the agent keeps, the names in \
      /etc/hosts, the operating system, and each disk; says what to do about what is not right. Ends \
      with 14 if the agent can't work, with 3 if it works, but not as well as it should.
      """,
      examples: ["tidemark agent preflight", "tidemark agent preflight --time-source none --json"],
      ends: [.incomplete, .damaged, .refused]))

  @Option(help: ArgumentHelp("Who is asked for the time, or none.", valueName: "host"))
  var timeSource = "pool.ntp.org"

  @OptionGroup var agent: AgentOption
  @OptionGroup var output: OutputOption

  func validate() throws {
    guard timeSource == "none" || TimeSource(timeSource) != nil else {
      throw ValidationError("--time-source takes a host, with :PORT if that is not 123, or none.")
    }
  }

  func run() throws {
    let directory = try agent.directory()
    let preflight = AgentPreflight(
      directory: directory, configuration: try directory.configuration(),
      timeSource: timeSource == "none" ? nil : TimeSource(timeSource))
    let report = HostReport(findings: preflight.findings())
    output.print(report.document, text: report.text)
    if report.isRefused { throw ExitStatus.refused.code }
    if report.findings.contains(where: { $0.verdict == .warning }) {
      throw ExitStatus.incomplete.code
    }
  }
}
