public import Bytes
internal import GRDB

/// A machine that enrolled, protected or not, as its agent described it.
public struct AgentRecord: Codable, Hashable, Sendable {
  /// A disk that the agent offers.
  public struct Disk: Codable, Hashable, Sendable {
    /// Which disk of the machine.
    public var number: Int
    /// Where it is on the machine.
    public var path: String
    /// Bytes; nil if the agent could not tell.
    public var size: UInt64?
    /// How the agent captures it.
    public var capture: String
    /// What the file holds.
    public var format: String

    /// A disk of these properties.
    public init(number: Int, path: String, size: UInt64?, capture: String, format: String) {
      (self.number, self.path, self.size) = (number, path, size)
      (self.capture, self.format) = (capture, format)
    }
  }

  /// What the agent found when it looked whether it can do its work.
  public struct Finding: Codable, Hashable, Sendable {
    /// Verdicts: as it should be, good enough, and not at all.
    public static let (ok, warning, refused) = ("ok", "warning", "refused")

    /// What was looked at.
    public var subject: String
    /// `ok`, `warning` or `refused`.
    public var verdict: String
    /// What was found.
    public var found: String
    /// What to do about it; empty if nothing is to be done.
    public var advice: String

    /// A finding of these properties.
    public init(subject: String, verdict: String, found: String, advice: String) {
      (self.subject, self.verdict, self.found, self.advice) = (subject, verdict, found, advice)
    }

    /// What was found and what to do, for people.
    public var sentence: String {
      advice.isEmpty ? "\(subject): \(found)." : "\(subject): \(found). \(advice)"
    }
  }

  /// What the machine is made of; nil for what the agent could not tell.
  public struct Hardware: Codable, Hashable, Sendable {
    /// A network adapter.
    public struct Adapter: Codable, Hashable, Sendable {
      /// What the machine calls it.
      public var name: String
      /// Its hardware address.
      public var hardwareAddress: String?
      /// Its addresses.
      public var addresses: [String]

      /// An adapter of these properties.
      public init(name: String, hardwareAddress: String?, addresses: [String]) {
        (self.name, self.hardwareAddress, self.addresses) = (name, hardwareAddress, addresses)
      }
    }

    /// Processors.
    public var cores: Int?
    /// MiB of memory.
    public var memory: Int?
    /// What starts it.
    public var firmware: TargetRecord.Firmware?
    /// Its adapters, in the order of the machine.
    public var adapters: [Adapter]

    /// Hardware of these properties.
    public init(
      cores: Int?, memory: Int?, firmware: TargetRecord.Firmware?, adapters: [Adapter]
    ) {
      (self.cores, self.memory, self.firmware) = (cores, memory, firmware)
      self.adapters = adapters
    }
  }

  /// The machine.
  public var machine: Identifier
  /// The name it enrolled under.
  public var name: String
  /// What it calls itself.
  public var hostName: String
  /// What runs on it.
  public var operatingSystem: String
  /// The version of its agent.
  public var version: String
  /// Every address of every adapter.
  public var addresses: [String]
  /// Its disks.
  public var disks: [Disk]
  /// What its preflight found.
  public var findings: [Finding] = []
  /// What the machine is made of; nil before its agent told.
  public var hardware: Hardware?
  /// When it enrolled.
  public var enrolled: Timestamp
  /// When it was last heard of.
  public var lastContact: Timestamp?
  /// Since when its certificates are refused; nil if they are not.
  public var revoked: Timestamp?

  /// An agent of these properties.
  public init(
    machine: Identifier, name: String, hostName: String, operatingSystem: String, version: String,
    addresses: [String], disks: [Disk], enrolled: Timestamp, lastContact: Timestamp? = nil
  ) {
    (self.machine, self.name, self.hostName) = (machine, name, hostName)
    (self.operatingSystem, self.version) = (operatingSystem, version)
    (self.addresses, self.disks) = (addresses, disks)
    (self.enrolled, self.lastContact) = (enrolled, lastContact)
  }
}

extension AgentRecord: Kept {
  static var table: String { "agent" }
}

extension Catalog {
  /// Keeps what is known of an agent, in the place of what was.
  public func set(_ agent: AgentRecord) throws(CatalogError) { try put(agent) }

  /// Keeps what is known of an agent that is known already; false, and nothing, if it is not, or was
  /// revoked.
  public func change(_ agent: AgentRecord) throws(CatalogError) -> Bool {
    try write { database in
      let known = try Self.first(
        AgentRecord.self, where: "machine = ? AND revoked IS NULL", [agent.machine.description],
        database)
      guard known != nil else { return false }
      try Stored(agent).update(database)
      return true
    }
  }

  /// Notes that an agent's certificates are refused from now on, until it enrols again.
  public func revokeAgent(of machine: Identifier, at now: Timestamp) throws(CatalogError) {
    try change(
      "UPDATE agent SET revoked = ? WHERE machine = ?", [now.rawValue, machine.description])
  }

  /// All agents, by name.
  public func agents() throws(CatalogError) -> [AgentRecord] {
    try all(AgentRecord.self, by: "name, machine")
  }

  /// The agent of a machine.
  public func agent(of machine: Identifier) throws(CatalogError) -> AgentRecord? {
    try first(AgentRecord.self, where: "machine = ?", [machine.description])
  }

  /// Notes that an agent was heard of.
  public func noteContact(
    with machine: Identifier, at now: Timestamp
  ) throws(CatalogError) {
    try change(
      "UPDATE agent SET lastContact = ? WHERE machine = ?", [now.rawValue, machine.description])
  }

  /// Forgets an agent whose certificates were revoked and that has not enrolled anew since.
  public func removeRevokedAgent(of machine: Identifier) throws(CatalogError) {
    try change(
      "DELETE FROM agent WHERE machine = ? AND revoked IS NOT NULL", [machine.description])
  }

  /// Forgets an agent; false if there is none.
  public func removeAgent(of machine: Identifier) throws(CatalogError) -> Bool {
    try change("DELETE FROM agent WHERE machine = ?", [machine.description]) > 0
  }
}
