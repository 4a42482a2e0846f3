internal import Agent
internal import ArgumentParser
internal import Capture
internal import FileIO
internal import ImageFormats
internal import Operations
internal import Vault

/// `tidemark agent add-disk PATH`
struct AgentAddDiskCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "add-disk", abstract: "Add a disk to those that the agent sends.",
    discussion: discussion(
      """
      A disk is an image file or a block device; a file whose name ends in .vhd is read as a VHD. \
      --capture scan reads the whole disk in every cycle, --capture reflink clones an image in use \
      on XFS or btrfs and reads what changed. An agent that runs takes the disk up within seconds.
      """,
      examples: [
        "tidemark agent add-disk /var/lib/images/web01.img --capture reflink",
        "tidemark agent add-disk /dev/vg0/data-snapshot",
      ],
      ends: [.locked, .damaged, .refused, .source]))

  @Argument(help: "The image file or device.", completion: .file())
  var path: String

  @Option(help: "How it is read: scan or reflink.")
  var capture = Choice(CaptureMode.scan)

  @OptionGroup var agent: AgentOption
  @OptionGroup var output: OutputOption

  func run() throws {
    let path = try absolute(self.path)
    let format: SourceFormat = ImageFormat(nameOf: path) == .vhd ? .vhd : .raw
    var added: DiskConfiguration?
    let configuration = try agent.directory().change { configuration throws(AgentError) in
      let disk = try Self.disk(path, capture.value, format, beside: configuration)
      configuration.disks.append(disk)
      configuration.disks.sort { $0.number < $1.number }
      added = disk
    }
    guard let added else { return }
    output.print(
      AgentReport(configuration).document,
      text: "Added disk \(added.number), '\(path)', read by \(added.capture.name).")
  }

  private static func disk(
    _ path: String, _ capture: CaptureMode, _ format: SourceFormat,
    beside configuration: AgentConfiguration
  ) throws(AgentError) -> DiskConfiguration {
    let real = (try? FileSystem.resolved(path)) ?? path
    for other in configuration.disks
    where other.path == path || (try? FileSystem.resolved(other.path)) == real {
      throw AgentError(.refused, "'\(path)' is disk \(other.number) already.")
    }
    guard let number = configuration.freeNumber else {
      throw AgentError(
        .refused, "A machine has at most \(AgentConfiguration.diskLimit) disks.")
    }
    let disk = DiskConfiguration(
      number: number, path: path, capture: format == .vhd ? .scan : capture, format: format)
    do throws(CaptureError) {
      _ = try SourceCheck.size(of: disk)
      try SourceCheck.mode(of: disk)
    } catch { throw AgentError(.source, error.message) }
    return disk
  }
}

/// `tidemark agent remove-disk PATH`
struct AgentRemoveDiskCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "remove-disk", abstract: "Take a disk from those that the agent sends.",
    discussion: discussion(
      "Its recovery points stay in the vault. Clones that were kept beside its image are removed.",
      examples: ["tidemark agent remove-disk /var/lib/images/web01.img"],
      ends: [.locked, .damaged, .unknown, .refused]))

  @Argument(help: "The image file or device.", completion: .file())
  var path: String

  @OptionGroup var agent: AgentOption
  @OptionGroup var output: OutputOption

  func run() throws {
    let path = try absolute(self.path)
    var removed: DiskConfiguration?
    let configuration = try agent.directory().change { configuration throws(AgentError) in
      guard let place = configuration.disks.firstIndex(where: { $0.path == path }) else {
        let known = configuration.disks.map(\.path).joined(separator: ", ")
        throw AgentError(
          .unknown, "'\(path)' is no disk of the agent. It has \(known.isEmpty ? "none" : known).")
      }
      removed = configuration.disks.remove(at: place)
    }
    guard let removed else { return }
    // What is left of clones takes room, and nothing else.
    try? SourceCheck.forgetClones(of: removed, machine: configuration.machine)
    output.print(
      AgentReport(configuration).document,
      text: "Removed disk \(removed.number), '\(path)'. Its recovery points stay.")
  }
}
