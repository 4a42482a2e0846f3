internal import Catalog
internal import Compute
internal import Vault

/// What is to be another way in what a machine is to be once it is recovered; nil for what stays.
public struct TargetChanges: Hashable, Sendable {
  /// What is to be another way of an adapter; nil for what stays.
  public struct Adapter: Hashable, Sendable {
    /// Which adapter, from 0.
    public var number: Int
    /// The network; empty to configure that later.
    public var network: String?
    /// The address; empty for any that is free.
    public var address: String?
    /// The hardware address; empty for that of the machine itself, or a new one.
    public var hardwareAddress: String?

    /// No change.
    public init(number: Int) { self.number = number }
  }

  /// The name; empty for that of the machine itself.
  public var name: String?
  /// Processors; 0 for as many as the machine has.
  public var cores: Int?
  /// Memory in MiB; 0 for as much as the machine has.
  public var memory: Int?
  /// `bios` or `uefi`; empty for what the machine has.
  public var firmware: String?
  /// The disk with the operating system; -1 for the lowest.
  public var systemDisk: Int?
  /// All disks that are replicated, as they are to be attached; none for the usual order: that with the
  /// operating system, then by number.
  public var diskOrder: [Int]?
  /// Changes of adapters.
  public var adapters: [Adapter] = []

  /// No change.
  public init() {}

  /// Processors that a machine may have.
  static let coreLimit = 255
  /// MiB of memory that a machine may have.
  static let memoryRange = 64...16 << 20
  /// Adapters that a machine may have.
  static let adapterLimit = 8

  /// Changes what is kept, as far as that can be told without networks and other machines.
  ///
  /// - Throws: `.refused`, and then part of it may have been changed.
  func apply(to target: inout TargetRecord, disks: [Int]) throws(OperationError) {
    if let name { target.name = try Self.checked(name) }
    if let cores {
      guard (0...Self.coreLimit).contains(cores) else {
        throw OperationError(.refused, "A machine has 1 to \(Self.coreLimit) cores, not \(cores).")
      }
      target.cores = cores == 0 ? nil : cores
    }
    if let memory {
      guard memory == 0 || Self.memoryRange.contains(memory) else {
        throw OperationError(
          .refused, "A machine has \(Self.memoryRange.lowerBound) MiB of memory to 16 TiB.")
      }
      target.memory = memory == 0 ? nil : memory
    }
    if let firmware {
      guard firmware.isEmpty || TargetRecord.Firmware(rawValue: firmware) != nil else {
        throw OperationError(.refused, "firmware is 'bios' or 'uefi', not '\(firmware)'.")
      }
      target.firmware = TargetRecord.Firmware(rawValue: firmware)
    }
    if let systemDisk {
      guard systemDisk == -1 || disks.contains(systemDisk) else {
        throw Self.noDisk(systemDisk, disks)
      }
      target.systemDisk = systemDisk == -1 ? nil : systemDisk
    }
    if let diskOrder { target.diskOrder = try Self.checked(diskOrder, disks) }
    for adapter in adapters { try adapter.apply(to: &target) }
  }

  private static func checked(_ name: String) throws(OperationError) -> String? {
    guard !name.isEmpty else { return nil }
    if let objection = NameRule.objection(to: name) {
      throw OperationError(.refused, "A machine can't be named '\(name)': \(objection).")
    }
    return name
  }

  private static func noDisk(_ number: Int, _ disks: [Int]) -> OperationError {
    OperationError(
      .refused,
      "There is no disk \(number) that is replicated, only "
        + "\(disks.map(String.init).joined(separator: ", ")).")
  }

  private static func checked(_ order: [Int], _ disks: [Int]) throws(OperationError) -> [Int]? {
    guard !order.isEmpty else { return nil }
    if let stranger = order.first(where: { !disks.contains($0) }) { throw noDisk(stranger, disks) }
    guard order.count == disks.count, Set(order).count == order.count else {
      throw OperationError(
        .refused,
        "The order of disks names each one that is replicated once: "
          + "\(disks.map(String.init).joined(separator: ",")), as they are to be attached.")
    }
    return order
  }
}

extension TargetChanges.Adapter {
  fileprivate func apply(to target: inout TargetRecord) throws(OperationError) {
    guard (0..<TargetChanges.adapterLimit).contains(number) else {
      throw OperationError(
        .refused, "Adapters have the numbers 0 to \(TargetChanges.adapterLimit - 1), not \(number)."
      )
    }
    var adapter =
      target.adapters.first { $0.number == number } ?? TargetRecord.Adapter(number: number)
    if let network {
      adapter.network = network.isEmpty ? nil : network
      // An address means nothing without its network.
      if network.isEmpty { adapter.address = nil }
    }
    if let address { adapter.address = try Self.checked(address: address) }
    if let hardwareAddress {
      adapter.hardwareAddress = try Self.checked(hardwareAddress: hardwareAddress)
    }
    target.adapters.removeAll { $0.number == number }
    if adapter != TargetRecord.Adapter(number: number) { target.adapters.append(adapter) }
    target.adapters.sort { $0.number < $1.number }
  }

  private static func checked(address: String) throws(OperationError) -> String? {
    guard !address.isEmpty else { return nil }
    guard let parsed = IPv4Address(address) else {
      throw OperationError(
        .refused,
        "'\(address)' is no address of version 4 that a network could give out: such as 10.213.0.12."
      )
    }
    return parsed.description
  }

  private static func checked(hardwareAddress text: String) throws(OperationError) -> String? {
    guard !text.isEmpty else { return nil }
    guard let parsed = HardwareAddress(text) else {
      throw OperationError(
        .refused, "'\(text)' is no hardware address of an adapter: such as 52:54:00:12:34:56.")
    }
    return parsed.description
  }
}
