internal import Agent
internal import ArgumentParser
internal import Operations
internal import Replication

/// `tidemark agent set-hook`
struct AgentSetHookCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "set-hook",
    abstract:
      "Add a hook, which makes recovery points app-consistent, shuts the source down, or fences it.",
    discussion: discussion(
      """
      Where an app-consistent point is due, the agent freezes by all its hooks, one after another, cuts, \
      and thaws in reverse order: scripts and guest agents as they were set, then file systems, which \
      scripts may write to, then monitors. A process of its own sees to the thaw, whatever becomes of the agent. \
      Several hooks can be combined: each is added by a command of its own. One that is set again is \
      replaced. Writers are held for 30 seconds at the most, unless 'set-hook limit' says otherwise. \
      Disks that are cloned are held only for that moment, disks that are scanned until they were read.

      'set-hook shutdown' and 'set-hook fence' are of another kind: they serve failovers.
      """,
      examples: [
        "tidemark agent set-hook guest-agent --socket /run/web01/qga.sock",
        "tidemark agent set-hook fsfreeze --mount /srv/data --mount /srv/logs",
        "tidemark agent test-hook",
      ],
      ends: [.locked, .damaged, .refused]),
    subcommands: [
      FileSystemHook.self, GuestAgentHook.self, MonitorHook.self, ScriptHook.self, Limit.self,
      AgentShutdownHookCommand.self, AgentFenceHookCommand.self,
    ])

  /// What every hook takes.
  struct Common: ParsableArguments {
    @Flag(
      help: ArgumentHelp(
        "Use it in every cycle, so that all disks of a point are of one moment.",
        discussion: "Its writers then wait for a moment each time."))
    var everyCycle = false

    @OptionGroup var agent: AgentOption
    @OptionGroup var output: OutputOption

    func set(_ kind: Hook.Kind, _ paths: [String]) throws {
      let hook = Hook(kind, try paths.map { try absolute($0) }, isEveryCycle: everyCycle)
      let directory = try agent.directory()
      let found = Preflight(in: directory, of: try directory.configuration()).finding(of: hook)
      let configuration = try directory.change { configuration throws(AgentError) in
        // A machine that does not run now has a socket later; mount points and scripts don't come and go.
        if found.verdict != .ok, kind == .scripts || kind == .fileSystems {
          throw AgentError(.refused, found.found)
        }
        try configuration.set(hook)
      }
      if found.verdict != .ok {
        let end = found.found.hasSuffix(".") ? "" : "."
        Console.note("\(found.found)\(end) \(found.advice)")
      }
      output.print(AgentReport(configuration).document, text: "Added the hook \(hook.text).")
    }
  }

  /// `tidemark agent set-hook fsfreeze`
  struct FileSystemHook: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "fsfreeze", abstract: "Freeze mounted file systems of this machine.",
      discussion: discussion(
        """
        Not those that the agent's own directory or a cloned image lies on: the agent writes there \
        meanwhile.
        """,
        examples: ["tidemark agent set-hook fsfreeze --mount /srv/data /srv/logs"],
        ends: [.locked, .damaged, .refused]))

    @Option(
      parsing: .upToNextOption,
      help: ArgumentHelp("Where they are mounted.", valueName: "path"), completion: .directory)
    var mount: [String]
    @OptionGroup var common: Common

    func run() throws { try common.set(.fileSystems, mount) }
  }

  /// `tidemark agent set-hook guest-agent`
  struct GuestAgentHook: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "guest-agent", abstract: "Have a QEMU guest's own agent freeze the guest.",
      discussion: discussion(
        "The guest needs qemu-guest-agent, and QEMU a channel to it: a virtserialport named "
          + "'org.qemu.guest_agent.0' whose chardev is a socket with server=on,wait=off.",
        examples: ["tidemark agent set-hook guest-agent --socket /run/web01/qga.sock"],
        ends: [.locked, .damaged, .refused]))

    @Option(help: ArgumentHelp("The channel's Unix socket.", valueName: "path"))
    var socket: String
    @OptionGroup var common: Common

    func run() throws { try common.set(.guestAgent, [socket]) }
  }

  /// `tidemark agent set-hook qmp`
  struct MonitorHook: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "qmp", abstract: "Stop a QEMU machine by its monitor.",
      discussion: discussion(
        """
        This holds all disks at one moment, and leaves in the machine's memory what is there: it makes no \
        point app-consistent by itself. It comes last of all hooks.
        """,
        examples: ["tidemark agent set-hook qmp --socket /run/web01/qmp.sock --every-cycle"],
        ends: [.locked, .damaged, .refused]))

    @Option(help: ArgumentHelp("The monitor's Unix socket.", valueName: "path"))
    var socket: String
    @OptionGroup var common: Common

    func run() throws { try common.set(.monitor, [socket]) }
  }

  /// `tidemark agent set-hook scripts`
  struct ScriptHook: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "scripts", abstract: "Run programs of a directory before and after the cut.",
      discussion: discussion(
        """
        Those in DIR/pre.d run in the order of their names; one that ends with another status than 0 \
        stops that. Those in DIR/post.d then run in reverse order, all of them, whatever happened; one \
        that fails is run 3 times. TIDEMARK_PHASE is pre or post; TIDEMARK_MACHINE, TIDEMARK_MACHINE_ID, \
        TIDEMARK_DISKS (a path a line) and TIDEMARK_LIMIT (seconds) are set. Directories and programs \
        must belong to root, and not be writable by others.
        """,
        examples: ["tidemark agent set-hook scripts --directory /etc/tidemark/hooks"],
        ends: [.locked, .damaged, .refused]))

    @Option(
      help: ArgumentHelp("The directory that holds pre.d and post.d.", valueName: "dir"),
      completion: .directory)
    var directory: String
    @OptionGroup var common: Common

    func run() throws { try common.set(.scripts, [directory]) }
  }

  /// `tidemark agent set-hook limit`
  struct Limit: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "limit", abstract: "Set for how long the hooks may hold writers.",
      discussion: discussion(
        "Freezing counts, too. A point that takes longer is only crash-consistent.",
        examples: ["tidemark agent set-hook limit 60"], ends: [.locked, .damaged, .refused]))

    @Argument(help: ArgumentHelp("1 to 3600.", valueName: "seconds"))
    var seconds: Int
    @OptionGroup var agent: AgentOption
    @OptionGroup var output: OutputOption

    func validate() throws {
      guard AgentConfiguration.freezeLimits.contains(seconds) else {
        throw ValidationError("The limit is 1 to 3600 seconds.")
      }
    }

    func run() throws {
      let configuration = try agent.directory().change { configuration throws(AgentError) in
        configuration.freezeLimit = seconds
      }
      output.print(
        AgentReport(configuration).document,
        text: "Writers are held for \(seconds) seconds at the most.")
    }
  }
}

/// A hook that can be taken away.
enum RemovableHook: Choosable {
  case cut(Hook.Kind)
  case shutdown
  case fence

  static var allCases: [RemovableHook] {
    Hook.Kind.allCases.map { .cut($0) } + [.shutdown, .fence]
  }

  var word: String {
    switch self {
    case .cut(let kind): kind.rawValue
    case .shutdown: "shutdown"
    case .fence: "fence"
    }
  }
}

/// `tidemark agent remove-hook KIND`
struct AgentRemoveHookCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "remove-hook", abstract: "Take hooks away.",
    discussion: discussion(
      examples: [
        "tidemark agent remove-hook fsfreeze",
        "tidemark agent remove-hook guest-agent /run/web01/qga.sock",
      ],
      ends: [.locked, .damaged, .unknown, .refused]))

  @Argument(help: "fsfreeze, guest-agent, qmp, scripts, shutdown or fence.")
  var kind: Choice<RemovableHook>

  @Argument(help: "The socket or directory, where there are several of the kind.")
  var path: String?

  @OptionGroup var agent: AgentOption
  @OptionGroup var output: OutputOption

  func run() throws {
    let path = try path.map { try absolute($0) }
    let configuration = try agent.directory().change { configuration throws(AgentError) in
      switch kind.value {
      case .cut(let kind): try configuration.removeHooks(kind, at: path)
      case .shutdown: try configuration.removeShutdown()
      case .fence: try configuration.removeFence()
      }
    }
    output.print(
      AgentReport(configuration).document, text: "Removed the hook \(kind.value.word).")
  }
}
