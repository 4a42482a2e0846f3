internal import ArgumentParser
internal import Bytes
internal import FileIO
internal import ImageFormats
internal import Operations
internal import Vault

/// `tidemark export NAME --point POINT … OUT`
struct ExportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "export", abstract: "Copy a disk out of a vault, as it was at a recovery point.",
    discussion: discussion(
      """
      Exporting a point twice gives equal files. The file gets its name once it is whole and \
      durable; if the export is interrupted, the same command goes on with it.
      """,
      examples: [
        "tidemark export web01 --point latest --format raw web01.img",
        "tidemark export web01 --point 20261120T103000Z-crash --format vhd --check azure-stack "
          + "--verify web01.vhd",
      ],
      ends: [
        .noVault, .locked, .damaged, .unknown, .refused, .unwritable, .interrupted,
      ]))

  @Argument(help: "The machine's name.")
  var name: String

  @Option(help: "The point: latest, latest-app-consistent, an id, a label or an instant.")
  var point: String

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

  func run() throws {
    let opened = try vault.opened()
    let found = try PointLookup(point, of: name, in: opened, now: Timestamp.now())
    let export = try ExportDisk(
      disk: disk, of: found, in: opened, format: format.value, for: check?.value, to: file,
      replaces: force)
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
      machine: name, point: found.point, disk: export.disk.number, format: format.value, path: file,
      summary: summary, verified: verify)
    output.print(report.document, text: report.text)
  }
}
