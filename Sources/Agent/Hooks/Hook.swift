internal import Bytes
internal import Vault

/// What holds the machine's writers, or makes its applications write out what they hold, around a cut.
public struct Hook: Codable, Hashable, Sendable {
  /// The ways to do that.
  public enum Kind: String, Codable, CaseIterable, Sendable {
    /// Freezes mounted file systems of this machine (FIFREEZE).
    case fileSystems = "fsfreeze"
    /// Asks the agent inside a QEMU guest to freeze the guest's file systems.
    case guestAgent = "guest-agent"
    /// Stops a QEMU machine's processors by its monitor (QMP).
    case monitor = "qmp"
    /// Runs the programs of a directory.
    case scripts = "scripts"

    /// Whether nothing writes to the disks meanwhile. What scripts do is not known.
    var holdsWriters: Bool { self != .scripts }

    /// Its place among the others when they freeze: lower ones go first, and thaw last. A script may write to
    /// a file system that another hook freezes, which would not let it end until that is thawed. The guest
    /// agent of a machine that is stopped can't answer.
    fileprivate var rank: Int {
      switch self {
      case .scripts, .guestAgent: 0
      case .fileSystems: 1
      case .monitor: 2
      }
    }

    /// Whether it makes what is in memory part of the cut. A stopped machine keeps that to itself.
    var isQuieting: Bool { self != .monitor }
  }

  /// How.
  public var kind: Kind
  /// The mount points; or else one path: of the socket, or of the directory.
  public var paths: [String]
  /// Whether it is used in every cycle, not just where an app-consistent point is due.
  public var isEveryCycle: Bool

  /// A hook of these properties.
  public init(_ kind: Kind, _ paths: [String], isEveryCycle: Bool = false) {
    (self.kind, self.paths, self.isEveryCycle) = (kind, paths, isEveryCycle)
  }

  /// What it is, for people: `guest-agent '/run/web01.sock'`.
  public var text: String {
    "\(kind.rawValue) " + paths.map { "'\($0)'" }.joined(separator: ", ")
  }

  /// Whether the other one replaces it: there is one hook for file systems, and one for each path.
  func isReplaced(by other: Hook) -> Bool {
    kind == other.kind && (kind == .fileSystems || paths == other.paths)
  }

  var isValid: Bool {
    guard (1...64).contains(paths.count), kind == .fileSystems || paths.count == 1 else {
      return false
    }
    return paths.allSatisfy { $0.hasPrefix("/") && $0.utf8.count < 4096 && !$0.contains("\0") }
  }
}

extension [Hook] {
  /// The hooks in an order in which none waits for what another one holds; else as they are.
  var inFreezingOrder: [Hook] {
    enumerated().sorted {
      ($0.element.kind.rank, $0.offset) < ($1.element.kind.rank, $1.offset)
    }.map(\.element)
  }
}

extension AgentConfiguration {
  /// Seconds that writers may be held, freezing included.
  public static let freezeLimits = 1...3600
  /// Hooks of one agent at the most.
  static let hookLimit = 16

  /// Adds a hook, or replaces the one that does the same.
  public mutating func set(_ hook: Hook) throws(AgentError) {
    guard hook.isValid else {
      throw AgentError(
        .refused, "A hook needs absolute paths: \(hook.text) has others, or too many.")
    }
    if let place = hooks.firstIndex(where: { $0.isReplaced(by: hook) }) {
      hooks[place] = hook
    } else {
      hooks.append(hook)
    }
    guard hooks.count <= Self.hookLimit else {
      throw AgentError(.refused, "An agent has at most \(Self.hookLimit) hooks.")
    }
    hooks = hooks.inFreezingOrder
  }

  /// Takes the hooks of a kind away, or only the one that uses a path.
  ///
  /// - Throws: `.unknown` if there is none.
  public mutating func removeHooks(_ kind: Hook.Kind, at path: String?) throws(AgentError) {
    let before = hooks.count
    hooks.removeAll { $0.kind == kind && (path.map($0.paths.contains) ?? true) }
    guard hooks.count == before else { return }
    let known = hooks.map(\.text).joined(separator: "; ")
    throw AgentError(
      .unknown, "The agent has no such hook. It has \(known.isEmpty ? "none" : known).")
  }

  /// Whether points can be app-consistent at all.
  public var hasQuietingHook: Bool { hooks.contains { $0.kind.isQuieting } }
}

/// Everything that freezing and thawing takes, for a process that knows nothing else.
struct HookPlan: Codable, Hashable, Sendable {
  /// The hooks.
  var hooks: [Hook]
  /// Seconds from the beginning of the freeze to that of the thaw at the most.
  var limit: Int
  /// The machine's identifier.
  var machine: String
  /// The machine's name.
  var name: String
  /// Where the machine's disks are.
  var disks: [String]
  /// What has to be written to meanwhile: a file system that one of these lies on must not be frozen.
  var needed: [String]

  init(_ hooks: [Hook], of configuration: AgentConfiguration, in directory: AgentDirectory) {
    self.hooks = hooks
    limit = configuration.freezeLimit
    machine = configuration.machine.description
    name = configuration.name
    disks = configuration.disks.map(\.path)
    // A clone is a write beside the image.
    needed =
      [directory.path] + configuration.disks.filter { $0.capture == .reflink }.map(\.path)
  }

  var isValid: Bool {
    hooks.count <= AgentConfiguration.hookLimit && hooks.allSatisfy(\.isValid)
      && AgentConfiguration.freezeLimits.contains(limit)
  }
}
