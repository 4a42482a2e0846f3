internal import ArgumentParser
internal import ControlAPI
internal import Operations

/// `tidemark failover start`
struct FailoverStartCommand: RecoveryCommand {
  static let configuration = CommandConfiguration(
    commandName: "start",
    abstract: "Fail a machine over: its disks can be written to here, at once.",
    discussion: discussion(
      """
      Looks first whether that can be done; asks the source to stop if that is wanted, and goes on if it does
      not; processes what was received; then nothing is taken from the source any more. A source that is cut
      off goes on serving until it reconnects. Another recovery point can be chosen until it is committed.

      Only with --yes it goes on without a relay that is silent, with a point whose disks are of different
      moments, and with one of which something is damaged, as far as its index and what was stored last tell:
      of 'latest' it then takes the newest point that is whole, and one that is named by its id or label as it
      is. A log that has lost its end is made anew of what is left only with --yes, too.

      Whoever stops waiting stops nothing: 'tidemark failover cancel' does.
      """,
      examples: [
        "tidemark failover start web01 --point latest",
        "tidemark failover start web01 --point 5m-ago --shutdown-source",
      ],
      ends: [.noVault, .locked, .unknown, .refused, .unwritable, .interrupted]))

  @Argument(help: "The machine's name.")
  var name: String

  @OptionGroup var options: RecoveryOptions

  @Flag(help: "Ask the source to stop first.")
  var shutdownSource = false

  @Flag(
    help: """
      Do not ask, and go on where something only warns, or the log is damaged: it is made anew of what \
      is whole in it then, without the newest recovery points, and all others are locked.
      """)
  var yes = false

  @OptionGroup var wait: WaitOption
  @OptionGroup var vault: VaultOption
  @OptionGroup var output: OutputOption

  func run() throws {
    try carry(out: name) { client throws(OperationError) in
      var request = options.request(isConfirmed: yes)
      request.shutdownSource = shutdownSource
      return try client.startFailover(name, request)
    }
  }
}
