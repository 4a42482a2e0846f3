internal import ArgumentParser
internal import ControlAPI
internal import Operations
internal import Vault

/// `tidemark machine set NAME`
struct MachineSetCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "set",
    abstract:
      "Show or change how a machine is replicated, and what it is to be when it is recovered.",
    discussion: discussion(
      """
      What is not given stays as it is. The agent learns of it at once, also while it works. Which disks \
      are excluded is settled when protection is enabled: to change it takes 'machine disable', which \
      removes the recovery points, and 'machine enable --exclude'.

      What the recovered machine is to be can be said at any time before the failover; what nobody has \
      said follows from the machine itself, as far as its agent tells, or is 2 cores, 2 GiB and BIOS. An \
      adapter without a network is configured later: a failover is told one with --network, which all adapters \
      join then, and a drill takes the isolated network. These settings need no agent.
      """,
      examples: [
        "tidemark machine set web01", "tidemark machine set web01 --interval 60",
        "tidemark machine set web01 --bandwidth 10M --bandwidth-hours 08:00-18:00+02:00",
        "tidemark machine set web01 --rpo-threshold 30m --address 10.0.0.12",
        "tidemark machine set web01 --resync-window 22:00-06:00+02:00",
        "tidemark machine set web01 --process-server relay01",
        "tidemark machine set web01 --cores 4 --memory 8G --firmware uefi --disk-order 0,2,1",
        "tidemark machine set web01 --network lan --target-address 192.168.7.20 --network 1=drills",
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

  @OptionGroup(title: "Target Options") var target: TargetOptions
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
    let chosen = changes == MachineChanges() ? nil : changes
    let settings = try ServiceAccess.with(try vault.opened()) { access in
      try Self.change(name, chosen, target.changes, access.client)
    }
    output.print(settings, text: SettingsReport.text(settings))
    if !output.json {
      let told =
        (settings.warnings ?? []) + (target.changes == nil ? [] : settings.target?.warnings ?? [])
      for warning in told { Console.note("tidemark: \(name): \(warning)") }
    }
  }

  /// Changes what is to be changed; a machine without an agent has no more than a target.
  private static func change(
    _ name: String, _ settings: MachineChanges?, _ target: TargetChanges?, _ client: ControlClient
  ) throws(OperationError) -> SettingsDocument {
    if let target { _ = try client.changeTarget(of: name, target) }
    if let settings { return try client.change(name, settings) }
    do throws(OperationError) { return try client.settings(of: name) } catch {
      guard error.code == .unknown else { throw error }
      return SettingsDocument(target: try client.target(of: name))
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
