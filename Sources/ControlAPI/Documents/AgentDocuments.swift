internal import Bytes
internal import Catalog
internal import Operations
internal import Replication
internal import Vault

/// A machine that enrolled, protected or not, as JSON.
public struct AgentDocument: Codable, Sendable {
  /// A disk that its agent offers.
  public struct Disk: Codable, Sendable {
    /// Which disk.
    public let number: Int
    /// Where it is on the machine.
    public let source: String
    /// Bytes; none if the agent could not tell.
    public let size: UInt64?
    /// `scan` or `reflink`.
    public let capture: String
  }

  /// Its identifier.
  public let id: String
  /// Its name.
  public let name: String
  /// What it calls itself.
  public let hostName: String
  /// `linux` or `windows`.
  public let operatingSystem: String
  /// The version of its agent.
  public let version: String
  /// Every address of every adapter.
  public let addresses: [String]
  /// Its disks.
  public let disks: [Disk]
  /// When it enrolled.
  public let enrolled: String
  /// When it was last heard of.
  public let lastContact: String?
  /// `unprotected`, `protected` or `paused`.
  public let state: String
  /// Whether it is connected now.
  public let isConnected: Bool
  /// What its agent does: `waiting`, `copying`, `cycling` or `resynchronising`.
  public let activity: String?
  /// Bytes of its disks that the present cycle has looked at.
  public let examined: UInt64?
  /// Bytes of its disks that the present cycle looks at in all.
  public let total: UInt64?
  /// Why its newest cycle made no recovery point.
  public let failure: String?

  init(_ status: AgentStatus) {
    let agent = status.agent
    (id, name, hostName) = (agent.machine.description, agent.name, agent.hostName)
    (operatingSystem, version) = (agent.operatingSystem, agent.version)
    addresses = agent.addresses
    disks = agent.disks.map {
      Disk(number: $0.number, source: $0.path, size: $0.size, capture: $0.capture)
    }
    (enrolled, lastContact) = (agent.enrolled.iso8601, agent.lastContact?.iso8601)
    (state, isConnected) = (status.state.rawValue, status.isConnected)
    activity = status.report.map { String(describing: $0.activity) }
    (examined, total) = (status.report?.examined, status.report?.total)
    failure = status.report.flatMap { $0.failure.isEmpty ? nil : $0.failure }
  }
}

/// The machines that enrolled, as JSON.
public struct AgentListDocument: Codable, Sendable {
  /// The machines, by name.
  public let agents: [AgentDocument]

  init(_ agents: [AgentStatus]) { self.agents = agents.map { AgentDocument($0) } }
}
