internal import ArgumentParser
internal import ControlAPI
internal import Operations
internal import Vault

/// `tidemark machine set NAME`
struct MachineSetCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "set", abstract: "Show or change how a machine with an agent is replicated.",
    discussion: discussion(
      """
      What is not given stays as it is. The agent learns of it at once, also while it works. Which disks \
      are excluded is settled when protection is enabled: to change it takes 'machine disable', which \
      removes the recovery points, and 'machine enable --exclude'.
      """,
      examples: [
        "tidemark machine set web01", "tidemark machine set web01 --interval 60",
        "tidemark machine set web01 --bandwidth 10M --bandwidth-hours 08:00-18:00+02:00",
        "tidemark machine set web01 --rpo-threshold 30m --address 10.0.0.12",
        "tidemark machine set web01 --resync-window 22:00-06:00+02:00",
        "tidemark machine set web01 --process-server relay01",
      ], ends: [.noVault, .locked, .unknown, .refused, .unwritable]))

  @Argument(help: "The machine's name.")
  var name: String

  @Option(help: ArgumentHelp("Seconds between two cycles.", valueName: "seconds"))
  var interval: Int?

  @Option(
    help: ArgumentHelp(
      "Seconds between two app-consistent recovery points; 0 for none.", valueName: "seconds"))
  var appInterval: Int?

  @Option(
    help: ArgumentHelp(
      "Bytes a second that the agent may send, such as 500K or 10M; 'none' for no limit.",
      valueName: "bytes"))
  var bandwidth: ByteRate?

  @Option(
    help: ArgumentHelp(
      "When that limit applies: 'always', or hours of each day, such as 08:00-18:00 of UTC or "
        + "08:00-18:00+02:00 of another clock; at other times there is none.",
      valueName: "hours"), transform: Self.hours)
  var bandwidthHours: BandwidthHours?

  @Option(
    help: ArgumentHelp(
      "How old the newest recovery point may be before there is a warning, such as 15m.",
      valueName: "age"))
  var rpoThreshold: String?

  @Option(help: ArgumentHelp("The machine's internal address.", valueName: "ip"))
  var address: String?

  @Option(help: "What runs on it: linux or windows.")
  var os: Choice<OperatingSystem>?

  @Option(
    help: ArgumentHelp(
      "When a resynchronisation that is required begins: 'automatic' (at once), 'manual', or hours "
        + "of UTC, such as 22:00-06:00, or of another clock, such as 22:00-06:00+02:00.",
      valueName: "window"), transform: Self.window)
  var resyncWindow: ResynchronisationWindow?

  @Option(
    help: ArgumentHelp(
      "The relay that its agent sends to; 'service' for the service itself.", valueName: "server"))
  var processServer: String?

  @OptionGroup var vault: VaultOption
  @OptionGroup var output: OutputOption

  func validate() throws {
    guard rpoThreshold == nil || Lifetime(rpoThreshold) != nil else {
      throw Lifetime.misspeltThreshold
    }
  }

  private static func hours(_ text: String) throws -> BandwidthHours {
    guard let hours = BandwidthHours(text) else {
      throw ValidationError(
        "'\(text)' is neither 'always' nor hours such as 08:00-18:00: see 'tidemark machine "
          + "set --help'.")
    }
    return hours
  }

  private static func window(_ text: String) throws -> ResynchronisationWindow {
    guard let window = ResynchronisationWindow(text) else {
      throw ValidationError("'\(text)' is no window: see 'tidemark machine set --help'.")
    }
    return window
  }

  func run() throws {
    var changes = MachineChanges()
    (changes.cycleSeconds, changes.applicationSeconds) = (interval, appInterval)
    changes.bandwidth = bandwidth?.bytesPerSecond
    changes.bandwidthHours = bandwidthHours
    changes.rpoSeconds = Lifetime(rpoThreshold).map { Int(clamping: $0.seconds) }
    (changes.address, changes.operatingSystem) = (address, os?.value)
    changes.resyncWindow = resyncWindow
    changes.processServer = processServer
    let (name, chosen) = (name, changes)
    let settings = try ServiceAccess.with(try vault.opened()) { access in
      chosen == MachineChanges()
        ? try access.client.settings(of: name) : try access.client.change(name, chosen)
    }
    output.print(settings, text: SettingsReport.text(settings))
    if !output.json {
      for warning in settings.warnings ?? [] { Console.note("tidemark: \(name): \(warning)") }
    }
  }
}

/// `tidemark machine replicate NAME`
struct MachineReplicateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "replicate", abstract: "Let a machine's agent begin a cycle at once.",
    discussion: discussion(
      "The next cycle follows at the usual interval.",
      examples: ["tidemark machine replicate web01"],
      ends: [.noVault, .locked, .unknown, .refused, .unwritable]))

  @Argument(help: "The machine's name.")
  var name: String

  @OptionGroup var vault: VaultOption

  func run() throws {
    let remarks = try ServiceAccess.with(try vault.opened()) {
      try $0.client.orderCycle(of: name)
    }
    if remarks.isEmpty { Console.note("A cycle of '\(name)' begins.") }
    for remark in remarks { Console.note(remark) }
  }
}
