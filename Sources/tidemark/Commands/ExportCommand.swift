internal import ArgumentParser
internal import Bytes
internal import FileIO
internal import ImageFormats
internal import Operations
internal import Vault

/// `tidemark export NAME (--point POINT | --failed-over) … OUT`
struct ExportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "export",
    abstract:
      "Copy a disk out of a vault, as it was at a recovery point, or as it is since a failover.",
    discussion: discussion(
      """
      Exporting a point twice gives equal files. The file gets its name once it is whole and \
      durable; if the export is interrupted, the same command goes on with it.

      With --failed-over the disk of a machine that was failed over is copied with all that was written to it, \
      also once that is committed. It is refused while the machine runs or somebody can write to its disks; \
      'tidemark machine stop' ends that. With --live it is taken as it is at one moment, as after a loss of \
      power; of disks that were flattened that can be done only of a single one, and only where the vault's \
      file system can clone files (XFS, Btrfs). An export that was interrupted goes on only if nothing was \
      written since; else it begins anew.
      """,
      examples: [
        "tidemark export web01 --point latest --format raw web01.img",
        "tidemark export web01 --point 20261120T103000Z-crash --format vhd --check azure-stack "
          + "--verify web01.vhd",
        "tidemark export web01 --failed-over --format vhd --check azure-stack web01.vhd",
      ],
      ends: [
        .noVault, .locked, .damaged, .unknown, .refused, .unwritable, .interrupted,
      ]))

  @Argument(help: "The machine's name.")
  var name: String

  @Option(help: "The point: latest, latest-app-consistent, an id, a label or an instant.")
  var point: String?

  @Flag(help: "Instead of a point: the disk that a failover made, with all that was written to it.")
  var failedOver = false

  @Flag(help: "With --failed-over: even if it is in use.")
  var live = false

  @Option(help: "Which disk. Default: the only one.")
  var disk: DiskNumber?

  @Option(help: "raw, vhd (fixed) or vhd-dynamic.")
  var format: Choice<ExportFormat>

  @Option(help: "Refuse what azure, azure-stack or hyperv would not accept.")
  var check: Choice<UploadTarget>?

  @Flag(help: "Read the file back and compare it with the disk.")
  var verify = false

  @Flag(help: "Replace the file if it exists.")
  var force = false

  @Argument(help: ArgumentHelp("The file to make.", valueName: "out"), completion: .file())
  var file: String

  @OptionGroup var vault: VaultOption
  @OptionGroup var output: OutputOption

  func validate() throws {
    guard (point == nil) == failedOver else {
      throw ValidationError("Give either --point or --failed-over.")
    }
    guard failedOver || !live else { throw ValidationError("--live goes with --failed-over.") }
  }

  func run() throws {
    let opened = try vault.opened()
    guard let point else { return try exportFailedOver(in: opened) }
    let found = try PointLookup(point, of: name, in: opened, now: Timestamp.now())
    let export = try ExportDisk(
      disk: disk, of: found, in: opened, format: format.value, for: check?.value, to: file,
      replaces: force)
    try carry(out: export, of: .point(found.point.id))
  }

  private func exportFailedOver(in vault: Vault) throws {
    let found = try FailedOverDisks(name, in: vault, isLive: live)
    let export = try ExportDisk(
      disk: disk, of: found, in: vault, format: format.value, for: check?.value, to: file,
      replaces: force)
    if found.isCrashConsistent {
      Console.note(
        "The disks of '\(name)' are in use, or were when their machine ended: the file will hold them as after "
          + "a loss of power.")
    }
    let cut = found.cut
    try carry(
      out: export,
      of: .failover(
        branch: cut.description.id, cut: cut.sequence,
        isCrashConsistent: found.isCrashConsistent))
  }

  private func carry(out export: ExportDisk, of origin: ExportReport.Origin) throws {
    Interruption.listen()
    var meter = ProgressMeter()
    let summary = try export.write(
      progress: { meter.show("exporting", done: $0, of: $1) },
      cancelled: { Interruption.isRequested })
    if verify {
      meter = ProgressMeter()
      try export.verify(
        progress: { meter.show("verifying", done: $0, of: $1) },
        cancelled: { Interruption.isRequested })
    }
    Console.endProgress()
    let report = ExportReport(
      machine: name, origin: origin, disk: export.number, format: format.value, path: file,
      summary: summary, verified: verify)
    output.print(report.document, text: report.text)
  }
}
