internal import Bytes
public import FileIO
public import Identity
public import Replication

/// The directory of an agent, 0700, with everything it keeps: `agent.json` (whom it serves and which
/// disks), `identity/` (its key and certificate), `digests/` (of its disks' blocks), `status.json` (how
/// it is doing), `server.json` (the process server it was sent to), `frozen.json` (while writers are held by
/// hooks), and three files that are only locked.
public struct AgentDirectory: Sendable {
  /// Where it is unless another is named.
  public static let usual = "/var/lib/tidemark-agent"

  /// The directory's path.
  public let path: String
  let system: FileSystem

  /// The directory at a path; nothing is looked at yet.
  public init(at path: String, on system: FileSystem = .system) {
    (self.path, self.system) = (path, system)
  }

  private static let sizeLimit = 1 << 20
  private var configurationPath: String { path + "/agent.json" }
  private var statusPath: String { path + "/status.json" }
  private var placePath: String { path + "/server.json" }
  var digestsPath: String { path + "/digests" }

  /// Makes the directory if it is not there; durable when it returns.
  public func make() throws(AgentError) {
    try inFile { () throws(IOError) in try system.makePrivateDirectory(path) }
  }

  /// Whether a machine is enrolled here.
  public var isEnrolled: Bool { system.exists(configurationPath) }

  /// What the agent was told when it was enrolled, and its disks.
  ///
  /// - Throws: `.missing` if the machine is not enrolled, `.damaged`, `.state`.
  public func configuration() throws(AgentError) -> AgentConfiguration {
    let bytes: [UInt8]
    do throws(IOError) {
      bytes = try system.readFile(configurationPath, limit: Self.sizeLimit)
    } catch {
      guard error.isMissing else { throw AgentError(.state, error.description) }
      throw AgentError(
        .missing,
        "This machine is not enrolled: there is no '\(configurationPath)'. Make a key at the service "
          + "with 'tidemark key create', and bring it here with 'tidemark agent enrol'.")
    }
    return try AgentConfiguration(bytes, of: configurationPath)
  }

  /// Replaces the configuration: after a crash the old or the new one is there.
  public func save(_ configuration: AgentConfiguration) throws(AgentError) {
    let bytes = try configuration.encode()
    try inFile { () throws(IOError) in
      try system.replaceFile(configurationPath, with: bytes, permissions: 0o600)
    }
  }

  /// Changes the configuration; one such change at a time, of all processes.
  ///
  /// - Throws: what `configuration` and `body` throw; `.locked` if another change takes too long.
  public func change(
    _ body: (inout AgentConfiguration) throws(AgentError) -> Void
  ) throws(AgentError) -> AgentConfiguration {
    var configuration = try configuration()
    let turn = try lock(
      "change.lock", patience: 5000, "Another command is changing the agent's disks. Try again.")
    configuration = try self.configuration()
    try body(&configuration)
    try save(configuration)
    turn.release()
    return configuration
  }

  /// The directory's key and certificates; `identity/` is made if it is not there.
  public func identity() throws(AgentError) -> IdentityFiles {
    try inIdentity { () throws(IdentityError) in
      try IdentityFiles(in: path + "/identity", on: system)
    }
  }

  /// Keeps every other agent, and every enrolment, off the directory.
  ///
  /// - Throws: `.locked` if one runs, `.missing` if there is no directory.
  public func lock() throws(AgentError) -> FileLock {
    try lock(
      "agent.lock", patience: 200,
      "Another agent runs on '\(path)'. Stop it first ('systemctl stop tidemark-agent').")
  }

  func lock(
    _ name: String, patience: Int, _ busy: String
  ) throws(AgentError) -> FileLock {
    do throws(IOError) {
      return try FileLock("\(path)/\(name)", patience: patience, on: system)
    } catch {
      if error.isLocked { throw AgentError(.locked, busy) }
      throw AgentError(error.isMissing ? .missing : .state, error.description)
    }
  }

  /// Where the service has sent the agent: a relay, or itself, which it is too where nothing is known.
  public func place() -> ServerPlace {
    // What can't be read is asked for again.
    let bytes = try? system.readFile(placePath, limit: Self.sizeLimit)
    return bytes.flatMap { ServerPlace(json: $0) } ?? .service
  }

  /// Keeps where the service has sent the agent.
  func save(_ place: ServerPlace) throws(AgentError) {
    try inFile { () throws(IOError) in
      try system.replaceFile(placePath, with: place.json, permissions: 0o600)
    }
  }

  /// How the agent is doing, or was when it ended; nil if none ever ran, or the file is damaged.
  public func status() -> AgentCondition? {
    guard let bytes = try? system.readFile(statusPath, limit: Self.sizeLimit) else { return nil }
    return AgentCondition(bytes)
  }

  /// How the agent is doing now: `.stopped` if none runs, whatever the last one has left behind.
  ///
  /// - Throws: as `lock` does, but for `.locked`.
  public func currentStatus() throws(AgentError) -> AgentCondition {
    var status = status() ?? AgentCondition()
    do throws(AgentError) {
      let lock = try lock()
      (status.state, status.progress) = (.stopped, nil)
      if let credentials = try? identity().load() { status.judge(credentials, at: .now()) }
      lock.release()
    } catch { guard error.code == .locked else { throw error } }
    return status
  }

  /// Replaces the status. It is not synced: it is for people, and written anew all the time.
  func write(_ status: AgentCondition) throws(IOError) {
    let temporary = statusPath + ".new"
    do { try system.remove(temporary) } catch { guard error.isMissing else { throw error } }
    let file = try File(temporary, .creating(permissions: 0o600), on: system)
    try file.write(status.encode(), at: 0)
    try system.rename(temporary, to: statusPath)
  }
}
