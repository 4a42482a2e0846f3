internal import ArgumentParser
internal import Bytes
internal import DiskServers
internal import FuseMount
internal import Operations
internal import RecoveryTree
internal import Vault

/// `tidemark mount DIR`
struct MountCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "mount", abstract: "Show a vault's recovery points as read-only files.",
    discussion: discussion(
      """
      The files are DIR/MACHINE/points/POINT/disk0.raw, disk0.vhd and disk0.part1.raw; the links \
      latest and latest-app-consistent lead to points, and at/INSTANT/ shows the point of an \
      instant. Where disks of test failovers and failed-over machines are served, \
      test-failovers/MACHINE/NAME and failed-over/MACHINE lead to them. New recovery points appear by \
      themselves. The command returns once the mount answers; \
      with --foreground it serves the mount until it is unmounted or gets SIGINT or SIGTERM.
      """,
      examples: [
        "tidemark mount /mnt/tidemark", "ls /mnt/tidemark/web01/points",
        "mount -o loop,ro /mnt/tidemark/web01/latest/disk0.part1.raw /mnt/files",
        "tidemark unmount /mnt/tidemark",
      ],
      ends: [.noVault, .damaged, .refused]))

  @Argument(
    help: ArgumentHelp("An empty directory.", valueName: "dir"), completion: .directory)
  var directory: String

  @Flag(help: "Serve the mount here instead of in the background.")
  var foreground = false

  @Flag(help: "Let other users see the mount.")
  var allowOther = false

  @OptionGroup var vault: VaultOption

  func run() throws {
    if foreground { try serve(try vault.opened(isGlancing: true)) } else { try startInBackground() }
  }

  private func startInBackground() throws {
    let opened = try vault.opened()
    try BackgroundMount.start(
      ["mount", "--foreground", "--vault", try absolute(opened.path)]
        + (allowOther ? ["--allow-other"] : []) + ["--", directory])
    Console.note("Mounted the vault '\(opened.description.name)' on \(directory).")
  }

  private func serve(_ vault: Vault) throws {
    let readiness = Readiness.inherited()
    do throws(MountError) {
      var options = MountOptions()
      options.allowOther = allowOther
      options.report = { message in
        if readiness == nil { Console.note("tidemark: \(message)") } else { logToSystem(message) }
      }
      let session = try MountSession(
        tree: RecoveryTree(vault: vault, served: DiskServers.place(in: vault.description.id)),
        mountPoint: directory, options: options)
      try session.run(ready: {
        if let readiness { readiness.succeed() } else { Console.note("Mounted on \(directory).") }
      })
    } catch {
      readiness?.fail(error.message)
      throw error
    }
  }
}
