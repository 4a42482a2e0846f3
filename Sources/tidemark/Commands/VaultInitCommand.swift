internal import ArgumentParser
internal import Codecs
internal import Glibc
internal import Operations
internal import Vault

/// `tidemark vault init DIR`
struct VaultInitCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "init", abstract: "Make a vault in a new or empty directory.",
    discussion: discussion(
      "Only you can read the vault, unless you let a group. Its friendly name is noted in your "
        + "configuration, so that --vault NAME finds it.",
      examples: [
        "tidemark vault init /srv/vault",
        "tidemark vault init /srv/vault --name site-b --group ops",
      ],
      ends: [.refused, .unwritable]))

  @Argument(help: ArgumentHelp("The directory.", valueName: "dir"), completion: .directory)
  var directory: String

  @Option(help: "The friendly name: letters, digits and hyphens. Default: the directory's.")
  var name: String?

  @Option(help: "How it compresses: zstd, zlib or none.")
  var codec = Choice(Codec.zstd)

  @Option(
    help: ArgumentHelp(
      "A group that may read it, administer it by its service's socket, and write to the disks of drills and "
        + "failed-over machines; by name or number.")
  )
  var group: String?

  @OptionGroup var output: OutputOption

  func run() throws {
    let make = InitializeVault(
      directory: directory, name: name, codec: codec.value, group: try group.map(Self.number))
    let result = try make.run(registry: Environment.registry)
    let report = VaultReport(
      vault: try VaultSummary(result.vault), registered: result.isRegistered)
    let vault = report.vault
    output.print(
      report.document,
      text: "Made the vault '\(vault.description.name)' in \(vault.path).\n"
        + "Next: tidemark machine add NAME --disk PATH --vault "
        + (result.isRegistered ? vault.description.name : vault.path))
    if let remark = result.remark { Console.note("tidemark: \(remark)") }
  }

  /// The number of a group, by getgrnam(3).
  private static func number(of group: String) throws(OperationError) -> UInt32 {
    if let number = UInt32(group) { return number }
    guard let entry = getgrnam(group) else {
      throw OperationError(.refused, "There is no group '\(group)'. 'getent group' lists them.")
    }
    return entry.pointee.gr_gid
  }
}
