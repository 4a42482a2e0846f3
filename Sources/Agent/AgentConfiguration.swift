public import Bytes
internal import FoundationEssentials
public import Vault

/// What an agent was told when it was enrolled, and the disks that were added since: `agent.json`.
public struct AgentConfiguration: Hashable, Sendable {
  /// The service's name or address.
  public var host: String
  /// The port of its API.
  public var controlPort: Int
  /// The port that replication goes to.
  public var replicationPort: Int
  /// The vault.
  public var vault: Identifier
  /// The vault's friendly name.
  public var vaultName: String
  /// The machine in it that the agent speaks for.
  public var machine: Identifier
  /// The machine's name in the vault.
  public var name: String
  /// The machine's disks, by number.
  public var disks: [DiskConfiguration]
  /// What holds writers around a cut, in the order it freezes.
  public internal(set) var hooks: [Hook]
  /// Seconds that writers may be held.
  public var freezeLimit: Int
  /// What shuts the source down, if that was set.
  public internal(set) var shutdown: SourceHook?
  /// The program that is run once when the machine was fenced.
  public internal(set) var fence: SourceHook?

  /// Seconds that writers may be held unless something else is set.
  public static let defaultFreezeLimit = 30

  /// A configuration of these properties.
  public init(
    host: String, controlPort: Int, replicationPort: Int, vault: Identifier, vaultName: String,
    machine: Identifier, name: String, disks: [DiskConfiguration] = [],
    hooks: [Hook] = [], freezeLimit: Int = AgentConfiguration.defaultFreezeLimit,
    shutdown: SourceHook? = nil, fence: SourceHook? = nil
  ) {
    (self.host, self.controlPort, self.replicationPort) = (host, controlPort, replicationPort)
    (self.vault, self.vaultName) = (vault, vaultName)
    (self.machine, self.name, self.disks) = (machine, name, disks)
    (self.hooks, self.freezeLimit) = (hooks, freezeLimit)
    (self.shutdown, self.fence) = (shutdown, fence)
  }

  /// The disks of one machine at the most, as a hello holds them.
  public static let diskLimit = 64

  /// The lowest number that no disk has. Numbers of removed disks are taken again.
  public var freeNumber: DiskNumber? {
    let used = Set(disks.map(\.number))
    return (0..<DiskNumber(Self.diskLimit)).first { !used.contains($0) }
  }
}

extension AgentConfiguration {
  private static let format = "tidemark-agent"
  private static let version = 1

  private struct Document: Codable {
    var format: String
    var version: Int
    var service: Service
    var vault: String
    var vaultName: String
    var machine: String
    var name: String
    var disks: [Disk]
    var hooks: [Hook]?
    var freezeLimit: Int?
    var shutdown: SourceHook?
    var fence: SourceHook?
  }

  private struct Service: Codable {
    var host: String
    var controlPort: Int
    var replicationPort: Int
  }

  fileprivate struct Disk: Codable {
    var number: DiskNumber
    var path: String
    var capture: String
    var format: String
  }

  func encode() throws(AgentError) -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    let document = Document(
      format: Self.format, version: Self.version,
      service: Service(host: host, controlPort: controlPort, replicationPort: replicationPort),
      vault: vault.description, vaultName: vaultName, machine: machine.description, name: name,
      disks: disks.map {
        Disk(number: $0.number, path: $0.path, capture: $0.capture.name, format: $0.format.name)
      },
      hooks: hooks, freezeLimit: freezeLimit, shutdown: shutdown, fence: fence)
    do { return Array(try encoder.encode(document)) + [UInt8(ascii: "\n")] } catch {
      throw AgentError(.state, "The agent's configuration can't be written: \(error).")
    }
  }

  /// Reads the content of `path`.
  init(_ bytes: [UInt8], of path: String) throws(AgentError) {
    let damage = AgentError(
      .damaged,
      "'\(path)' is not what an agent wrote there. Restore it from a backup, or enrol again with a "
        + "new registration key and add the disks: nothing in the vault is lost.")
    guard let document = try? JSONDecoder().decode(Document.self, from: Data(bytes)),
      document.format == Self.format
    else { throw damage }
    guard document.version <= Self.version else {
      throw AgentError(
        .damaged, "'\(path)' is of a newer tidemark. Use that, or a newer one.")
    }
    let disks = document.disks.compactMap { DiskConfiguration($0) }
    let hooks = document.hooks ?? []
    let limit = document.freezeLimit ?? Self.defaultFreezeLimit
    guard let vault = Identifier(document.vault), let machine = Identifier(document.machine),
      !document.service.host.isEmpty, disks.count == document.disks.count,
      disks.count <= Self.diskLimit, Set(disks.map(\.number)).count == disks.count,
      [document.service.controlPort, document.service.replicationPort].allSatisfy({
        (1...65535).contains($0)
      }),
      hooks.count <= Self.hookLimit, hooks.allSatisfy(\.isValid), Self.freezeLimits.contains(limit),
      document.shutdown?.isValid ?? true, document.fence?.isValid ?? true
    else { throw damage }
    self.init(
      host: document.service.host, controlPort: document.service.controlPort,
      replicationPort: document.service.replicationPort, vault: vault,
      vaultName: document.vaultName, machine: machine, name: document.name,
      disks: disks.sorted { $0.number < $1.number },
      hooks: hooks, freezeLimit: limit, shutdown: document.shutdown, fence: document.fence)
  }
}

extension DiskConfiguration {
  fileprivate init?(_ disk: AgentConfiguration.Disk) {
    guard let capture = CaptureMode.allCases.first(where: { $0.name == disk.capture }),
      let format = SourceFormat.allCases.first(where: { $0.name == disk.format }),
      disk.path.hasPrefix("/")
    else { return nil }
    self.init(number: disk.number, path: disk.path, capture: capture, format: format)
  }
}
