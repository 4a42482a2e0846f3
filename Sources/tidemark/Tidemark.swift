internal import ArgumentParser
internal import FileIO

/// The command `tidemark` and its subcommands, one file each in `Commands/`.
@main
struct Tidemark: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tidemark",
    abstract: "Replicate disks into a vault, and open them as they were at any recovery point.",
    discussion: """
      Make a vault, add a machine, replicate it now and then, look at any recovery point. 'tidemark \
      serve' keeps a vault in service; commands then go to it:

        tidemark vault init /srv/vault
        tidemark machine add web01 --disk /var/lib/images/web01.img
        tidemark replicate web01
        tidemark mount /mnt/tidemark

      A vault is named by --vault DIR, by --vault NAME with its friendly name, or by the variable \
      TIDEMARK_VAULT; if you know only one, that one is meant. A POINT is 'latest', \
      'latest-app-consistent', an id, a label, or an instant such as 20261120T103205Z, \
      2026-11-20T10:32:05Z, @1795170725 or 5m-ago.

      EXIT STATUS
      \(ExitStatus.table(ExitStatus.allCases))

      Take any other status as a failure.
      """,
    version: version,
    subcommands: [
      VaultCommand.self, MachineCommand.self, ReplicateCommand.self, PointCommand.self,
      MountCommand.self, UnmountCommand.self, ExportCommand.self, VerifyCommand.self,
      TestFailoverCommand.self, FailoverCommand.self, StatusCommand.self, HealthCommand.self,
      ServeCommand.self, JobsCommand.self,
      EventsCommand.self, KeyCommand.self, TokenCommand.self, AgentCommand.self,
      RelayCommand.self, ServerCommand.self, NetworkCommand.self,
      TargetCommand.self, GuestFactsCommand.self, DiskServerCommand.self,
    ])

  /// The version of Tidemark, which the service tells too.
  static let version = "0.1.0"

  static func main() {
    FileSystem.raiseOpenFileLimit()
    do {
      var command = try parseAsRoot()
      try command.run()
    } catch {
      Failure(error).end()
    }
  }
}
