internal import ArgumentParser
internal import ControlAPI
internal import Operations
internal import Vault

/// `tidemark machine add NAME --disk PATH …`
struct MachineAddCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "add", abstract: "Add a machine, so that it can be replicated.",
    discussion: discussion(
      """
      The first --disk is disk 0. A disk is an image file or a block device; a file whose name ends \
      in .vhd is read as a VHD. With --capture scan every cycle reads the whole source, which must \
      be quiet meanwhile: a stopped machine, or a snapshot. With --capture reflink an image in use on \
      XFS or btrfs is cloned beside itself, in .tidemark/, and only what changed is read; disks of \
      one machine are then cloned one right after the other.
      """,
      examples: [
        "tidemark machine add web01 --disk /var/lib/images/web01.img",
        "tidemark machine add db01 --disk /srv/db01-os.img --disk /srv/db01-data.img --capture reflink",
        "tidemark machine add old01 --disk /srv/old01.vhd --os windows",
      ],
      ends: [.noVault, .locked, .refused, .source, .unwritable]))

  @Argument(help: "The machine's name: 1 to 63 letters, digits and hyphens.")
  var name: String

  @Option(
    name: .customLong("disk"), help: ArgumentHelp("A disk's image or device.", valueName: "path"),
    completion: .file())
  var disks: [String]

  @Option(help: "How disks are read: scan or reflink.")
  var capture = Choice(CaptureMode.scan)

  @Option(name: .customLong("os"), help: "What runs on the machine: linux or windows.")
  var operatingSystem = Choice(OperatingSystem.linux)

  @Option(help: "What the disks' files hold: raw or vhd. Default: by the name of each.")
  var diskFormat: Choice<SourceFormat>?

  @OptionGroup var vault: VaultOption
  @OptionGroup var output: OutputOption

  func run() throws {
    let add = AddMachine(
      name: name, operatingSystem: operatingSystem.value,
      // A service works in another directory.
      disks: try disks.map { $0.isEmpty ? $0 : try absolute($0) }, capture: capture.value,
      format: diskFormat?.value)
    let machine = try ServiceAccess.with(try vault.opened()) { try $0.client.add(add) }
    output.print(
      machine,
      text: "Added the machine '\(name)' with \(Words.count(disks.count, "disk")).\n"
        + "Next: tidemark replicate \(name)")
  }
}
