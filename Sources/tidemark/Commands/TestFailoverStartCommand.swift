internal import ArgumentParser
internal import ControlAPI
internal import Operations

/// `tidemark test-failover start`
struct TestFailoverStartCommand: RecoveryCommand {
  static let configuration = CommandConfiguration(
    commandName: "start",
    abstract: "Begin a drill: a machine's disks as of a recovery point, to be written to.",
    discussion: discussion(
      """
      Looks first whether the machine could be recovered. Then its disks are there as files that can be
      written to; replication goes on, and nothing of what is written reaches the replica. The last part
      compares what there is with what was asked for. A drill is a success only once it is cleaned up; until
      then the next one, and a failover, are refused. SIGINT while it is being begun stops it.
      """,
      examples: [
        "tidemark test-failover start web01",
        "tidemark test-failover start web01 --point latest-app-consistent --expires 8h",
      ],
      ends: [.noVault, .locked, .unknown, .refused, .unwritable, .interrupted]))

  @Argument(help: "The machine's name.")
  var name: String

  @OptionGroup var options: RecoveryOptions

  @Option(
    help: ArgumentHelp(
      "When it is cleaned up by itself, such as 90m, 8h, 2d. Default: never.", valueName: "time"))
  var expires: String?

  @OptionGroup var wait: WaitOption
  @OptionGroup var vault: VaultOption
  @OptionGroup var output: OutputOption

  func validate() throws {
    guard expires == nil || Lifetime(expires) != nil else {
      throw ValidationError("--expires takes a number and a unit of s, m, h, d or w, such as 8h.")
    }
  }

  func run() throws {
    try carry(out: name) { client throws(OperationError) in
      var request = options.request()
      request.expiresSeconds = Lifetime(expires)?.seconds
      return try client.startTestFailover(name, request)
    }
  }
}
