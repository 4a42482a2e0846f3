public import Bytes
internal import GRDB

/// What a machine is to be once it is recovered, as far as an operator has said; nil for what follows from
/// the machine itself.
public struct TargetRecord: Codable, Hashable, Sendable {
  /// What starts a machine.
  public enum Firmware: String, Codable, Hashable, Sendable, CaseIterable {
    /// The boot record of the first disk.
    case bios
    /// A program in an EFI system partition.
    case uefi
  }

  /// A network adapter.
  public struct Adapter: Codable, Hashable, Sendable {
    /// Which adapter, from 0.
    public var number: Int
    /// The network that it is attached to; nil while nobody has said.
    public var network: String?
    /// The address that it gets there; nil for any that is free.
    public var address: String?
    /// Its hardware address; nil for that of the machine itself, or a new one.
    public var hardwareAddress: String?

    /// An adapter of these properties.
    public init(
      number: Int, network: String? = nil, address: String? = nil, hardwareAddress: String? = nil
    ) {
      (self.number, self.network) = (number, network)
      (self.address, self.hardwareAddress) = (address, hardwareAddress)
    }
  }

  /// The machine.
  public var machine: Identifier
  /// The name of the recovered machine.
  public var name: String?
  /// Processors.
  public var cores: Int?
  /// Memory, in MiB.
  public var memory: Int?
  /// What starts it.
  public var firmware: Firmware?
  /// The number of the disk with the operating system.
  public var systemDisk: Int?
  /// Numbers of disks, in the order in which they are attached.
  public var diskOrder: [Int]?
  /// What was said of its adapters, by number.
  public var adapters: [Adapter] = []

  /// Nothing was said.
  public init(machine: Identifier) { self.machine = machine }
}

extension TargetRecord: Kept {
  static var table: String { "machineTarget" }
}

extension Catalog {
  /// Keeps what a machine is to be, in the place of what was.
  public func set(_ target: TargetRecord) throws(CatalogError) { try put(target) }

  /// What all machines are to be of which something was said.
  public func targets() throws(CatalogError) -> [TargetRecord] {
    try all(TargetRecord.self, by: "machine")
  }

  /// What a machine is to be; nothing if nothing was said.
  public func target(of machine: Identifier) throws(CatalogError) -> TargetRecord {
    try first(TargetRecord.self, where: "machine = ?", [machine.description])
      ?? TargetRecord(machine: machine)
  }

  /// Forgets what a machine is to be.
  public func removeTarget(of machine: Identifier) throws(CatalogError) {
    try change("DELETE FROM machineTarget WHERE machine = ?", [machine.description])
  }
}
