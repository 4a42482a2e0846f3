internal import Bytes
internal import FileIO
internal import Vault

/// What shuts the machine down that the agent replicates, or tells it that it was fenced.
public struct SourceHook: Codable, Hashable, Sendable {
  /// The ways to do that.
  public enum Kind: String, Codable, CaseIterable, Sendable {
    /// Runs a program.
    case script
    /// Presses the power button of a QEMU machine by its monitor (QMP).
    case monitor = "qmp"
  }

  /// How.
  public var kind: Kind
  /// The program, or the monitor's socket.
  public var path: String

  /// A hook of these properties.
  public init(_ kind: Kind, _ path: String) { (self.kind, self.path) = (kind, path) }

  /// What it is, for people: `script '/etc/tidemark/stop'`.
  public var text: String { "\(kind.rawValue) '\(path)'" }

  var isValid: Bool { path.hasPrefix("/") && path.utf8.count < 4096 && !path.contains("\0") }
}

extension AgentConfiguration {
  /// What shuts the source down: what was set for that, or else the monitors that its writers are held by.
  public var shutdownHooks: [SourceHook] {
    if let shutdown { return [shutdown] }
    return hooks.filter { $0.kind == .monitor }.flatMap { hook in
      hook.paths.map { SourceHook(.monitor, $0) }
    }
  }

  /// Sets what shuts the source down.
  ///
  /// - Throws: `.refused` for a path that is not absolute.
  public mutating func setShutdown(_ hook: SourceHook) throws(AgentError) {
    try Self.check(hook)
    shutdown = hook
  }

  /// Sets the program that is run when the machine was fenced.
  ///
  /// - Throws: `.refused` for a path that is not absolute, or another kind of hook.
  public mutating func setFence(_ hook: SourceHook) throws(AgentError) {
    try Self.check(hook)
    guard hook.kind == .script else {
      throw AgentError(.refused, "What is run when this machine was fenced is a program.")
    }
    fence = hook
  }

  /// Takes away what shuts the source down.
  ///
  /// - Throws: `.unknown` if nothing was set.
  public mutating func removeShutdown() throws(AgentError) {
    guard shutdown != nil else { throw Self.noHook }
    shutdown = nil
  }

  /// Takes away what is run when the machine was fenced.
  ///
  /// - Throws: `.unknown` if nothing was set.
  public mutating func removeFence() throws(AgentError) {
    guard fence != nil else { throw Self.noHook }
    fence = nil
  }

  private static var noHook: AgentError { AgentError(.unknown, "The agent has no such hook.") }

  private static func check(_ hook: SourceHook) throws(AgentError) {
    guard hook.isValid else {
      throw AgentError(.refused, "A hook needs an absolute path, unlike '\(hook.path)'.")
    }
  }
}

/// Runs a program of the operator's that belongs to nobody else.
struct HookProgram {
  /// Bytes kept of what it says.
  private static let outputLimit = 2000

  let path: String
  /// `NAME=value`.
  let variables: [String]

  init(path: String, variables: [String]) { (self.path, self.variables) = (path, variables) }

  /// The variables that every program of an agent's gets; `phase` says what it is run for.
  static func variables(
    phase: String, machine: String, name: String, disks: [String], limit: Int
  ) -> [String] {
    [
      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8",
      "TIDEMARK_PHASE=\(phase)", "TIDEMARK_MACHINE=\(name)", "TIDEMARK_MACHINE_ID=\(machine)",
      "TIDEMARK_DISKS=\(disks.joined(separator: "\n"))", "TIDEMARK_LIMIT=\(limit)",
    ]
  }

  /// The program of a hook of an agent's.
  init(_ path: String, phase: String, of configuration: AgentConfiguration, limit: Int) {
    self.init(
      path: path,
      variables: Self.variables(
        phase: phase, machine: configuration.machine.description, name: configuration.name,
        disks: configuration.disks.map(\.path), limit: limit))
  }

  /// Whether it can be run, and by nobody's wish but that of the agent's user.
  ///
  /// - Throws: `.hook` with the reason why not.
  static func check(_ path: String) throws(AgentError) {
    let status = try inHook { () throws(IOError) in try FileSystem.system.status(path) }
    guard status.kind == .directory || (status.kind == .file && status.permissions & 0o100 != 0)
    else {
      throw AgentError(.hook, "'\(path)' can't be run. Make it executable, or take it away.")
    }
    guard [0, FileSystem.userIdentifier].contains(status.owner), status.permissions & 0o022 == 0
    else {
      throw AgentError(
        .hook,
        "'\(path)' can be changed by others than its user, and so is not run. It must be root's: "
          + "'chown root \(path)', 'chmod go-w \(path)'.")
    }
  }

  /// Runs it to its end, or kills it with its whole group at the deadline. Blocks.
  ///
  /// - Throws: `.hook` if it can't be run, ends with another status than 0, or is not done in time.
  func run(until deadline: ContinuousClock.Instant) throws(AgentError) {
    var child = try inHook { () throws(IOError) in
      try ChildProcess(path, [path], environment: variables, .output)
    }
    let (status, output): (Int32?, String)
    do throws(IOError) {
      (status, output) = try child.run(limit: Self.outputLimit, until: deadline)
    } catch {
      child.end()
      throw AgentError(hook: error)
    }
    guard status != 0 else { return }
    child.end()
    let words = output.split(whereSeparator: \.isNewline).suffix(3).joined(separator: " / ")
    let end = status.map { "ended with \($0)" } ?? "was not done in time, and was killed"
    throw AgentError(
      .hook, "'\(path)' \(end)\(words.isEmpty ? "." : ", and said: \(words.prefix(500))")")
  }
}
