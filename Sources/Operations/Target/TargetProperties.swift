public import Bytes
public import Catalog
internal import Replication

/// What a machine is to be once it is recovered: what an operator said, and otherwise what follows from the
/// machine itself.
public struct TargetProperties: Sendable {
  /// A network adapter.
  public struct Adapter: Hashable, Sendable {
    /// Which adapter, from 0.
    public let number: Int
    /// The network that it is attached to; nil while nobody has said.
    public let network: NetworkRecord?
    /// The address that it gets there; nil for any that is free.
    public let address: String?
    /// Its hardware address; nil for a new one.
    public let hardwareAddress: String?
    /// What the machine itself calls it; nil if that is not known.
    public let sourceName: String?
    /// The addresses that it has on the machine itself.
    public let sourceAddresses: [String]
  }

  /// The machine.
  public let machine: Identifier
  /// The machine's own name.
  public let machineName: String
  /// What an operator said.
  public let chosen: TargetRecord
  /// The name of the recovered machine.
  public let name: String
  /// Processors.
  public let cores: Int
  /// Memory, in MiB.
  public let memory: Int
  /// What starts it.
  public let firmware: TargetRecord.Firmware
  /// The disk with the operating system; nil if the machine has no disk yet.
  public let systemDisk: Int?
  /// Its disks, as they are attached.
  public let diskOrder: [Int]
  /// Its adapters, by number.
  public let adapters: [Adapter]

  /// Processors of a machine of which nothing is known.
  static let usualCores = 2
  /// MiB of memory of a machine of which nothing is known.
  static let usualMemory = 2048

  /// Puts together what was `chosen`, what the machine's agent tells, and which `disks` it has.
  init(
    _ chosen: TargetRecord, name: String, agent: AgentRecord?, disks: [Int],
    networks: [NetworkRecord]
  ) {
    let told = agent?.ownHardware
    (machine, machineName, self.chosen) = (chosen.machine, name, chosen)
    self.name = chosen.name ?? name
    cores = chosen.cores ?? told?.cores ?? Self.usualCores
    memory = chosen.memory ?? told?.roundMemory ?? Self.usualMemory
    firmware = chosen.firmware ?? told?.firmware ?? .bios
    let system = chosen.systemDisk.flatMap { disks.contains($0) ? $0 : nil } ?? disks.min()
    systemDisk = system
    // Disks may have come and gone since an order was chosen.
    let ordered = chosen.diskOrder?.filter { disks.contains($0) } ?? (system.map { [$0] } ?? [])
    diskOrder = ordered + disks.sorted().filter { !ordered.contains($0) }
    adapters = Self.adapters(chosen, told, networks)
  }

  private static func adapters(
    _ chosen: TargetRecord, _ told: AgentRecord.Hardware?, _ networks: [NetworkRecord]
  ) -> [Adapter] {
    let sources = told?.adapters ?? []
    let count = max(1, sources.count, (chosen.adapters.map(\.number).max() ?? 0) + 1)
    return (0..<min(count, TargetChanges.adapterLimit)).map { number in
      let own = chosen.adapters.first { $0.number == number }
      let source = sources.indices.contains(number) ? sources[number] : nil
      return Adapter(
        number: number, network: networks.first { $0.name == own?.network }, address: own?.address,
        hardwareAddress: own?.hardwareAddress ?? source?.hardwareAddress,
        sourceName: source?.name, sourceAddresses: source?.addresses ?? [])
    }
  }

  /// What was chosen, by the names of the API's fields.
  public var chosenFields: [String] {
    let fields: [(String, Bool)] = [
      ("name", chosen.name != nil), ("cores", chosen.cores != nil),
      ("memoryBytes", chosen.memory != nil), ("firmware", chosen.firmware != nil),
      ("systemDisk", chosen.systemDisk != nil), ("diskOrder", chosen.diskOrder != nil),
      ("adapters", !chosen.adapters.isEmpty),
    ]
    return fields.filter(\.1).map(\.0)
  }
}

extension AgentRecord {
  /// What the machine is made of, if its disks are this machine's own: an agent that reads images of other
  /// machines runs on their host, and knows nothing of what they are made of.
  var ownHardware: Hardware? { disks.allSatisfy { $0.path.hasPrefix("/dev/") } ? hardware : nil }
}

extension AgentRecord.Hardware {
  /// MiB of memory as it was given to the machine: what a kernel tells lacks what it keeps for itself.
  fileprivate var roundMemory: Int? { memory.map { ($0 + 255) / 256 * 256 } }
}

extension AgentRecord.Hardware {
  /// What an agent told.
  init(_ told: Hardware) {
    let firmware: TargetRecord.Firmware? =
      switch told.firmware {
      case .unknown: nil
      case .bios: .bios
      case .uefi: .uefi
      }
    self.init(
      cores: told.cores == 0 ? nil : Int(told.cores),
      memory: told.memory == 0 ? nil : Int(clamping: told.memory >> 20), firmware: firmware,
      adapters: told.adapters.map { adapter in
        AgentRecord.Hardware.Adapter(
          name: adapter.name,
          hardwareAddress: adapter.hardwareAddress.isEmpty ? nil : adapter.hardwareAddress,
          addresses: adapter.addresses)
      })
  }
}
