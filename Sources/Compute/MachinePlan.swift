public import Bytes

/// What a machine is to be, and where what belongs to its run is kept.
public struct MachinePlan: Codable, Hashable, Sendable {
  /// What a machine begins to boot with.
  public enum Firmware: String, Codable, Hashable, Sendable, CaseIterable {
    /// A PC's, which runs the boot record of the first disk.
    case bios
    /// UEFI, which runs a loader of an EFI system partition.
    case uefi
  }

  /// One of its disks.
  public struct Disk: Codable, Hashable, Sendable {
    /// The disk's name in the vault; the guest sees its first 20 letters, digits, `-` and `_` as serial number.
    public var name: String
    /// The raw file, or block device, that holds it.
    public var path: String
    /// Whether the machine boots from it.
    public var isSystem: Bool

    /// Describes a disk.
    public init(name: String, path: String, isSystem: Bool) {
      (self.name, self.path, self.isSystem) = (name, path, isSystem)
    }
  }

  /// What an adapter is connected with.
  public enum Network: Codable, Hashable, Sendable {
    /// Only a DHCP server, which gives the wanted address: neither host nor outside can be reached, and nobody
    /// gets in but by forwarded ports.
    case isolated
    /// The host's network behind address translation; nobody gets in but by forwarded ports.
    case user
    /// A bridge of the host with this name.
    case bridge(String)
  }

  /// A port of the host that leads to one of the machine.
  public struct Forward: Codable, Hashable, Sendable {
    /// The TCP port on 127.0.0.1; 0 for one that is free.
    public var host: UInt16
    /// The TCP port of the machine.
    public var guest: UInt16

    /// Leads from a port of the host to one of the machine.
    public init(host: UInt16 = 0, guest: UInt16) { (self.host, self.guest) = (host, guest) }
  }

  /// One of its network adapters.
  public struct Adapter: Codable, Hashable, Sendable {
    /// What it is connected with.
    public var network: Network
    /// The addresses of that network; needed for `.isolated` and `.user`, at most 29 bits are shared.
    public var subnet: IPv4Subnet?
    /// The address the machine is to get there by DHCP; nil for any.
    public var address: IPv4Address?
    /// The adapter's own address; it must be unique in its network.
    public var hardware: HardwareAddress
    /// Ports that lead to it; for all but a bridge.
    public var forwards: [Forward]

    /// Describes an adapter.
    public init(
      network: Network, subnet: IPv4Subnet?, address: IPv4Address? = nil,
      hardware: HardwareAddress, forwards: [Forward] = []
    ) {
      (self.network, self.subnet, self.address) = (network, subnet, address)
      (self.hardware, self.forwards) = (hardware, forwards)
    }
  }

  /// The machine's identifier, which the guest sees as its system's UUID.
  public var identifier: Identifier
  /// The target name.
  public var name: String
  /// Processors.
  public var cores: Int
  /// Bytes of memory, a multiple of 1 MiB.
  public var memory: UInt64
  /// What it begins to boot with.
  public var firmware: Firmware
  /// The disks in the order in which the guest sees them.
  public var disks: [Disk]
  /// The network adapters in order.
  public var adapters: [Adapter]
  /// The directory for what belongs to the run: sockets, console log, UEFI variables. Its parent must exist,
  /// and be short enough: the path of a socket in it has 107 bytes at the most.
  public var directory: String
  /// Whether this is a test failover.
  public var isDrill: Bool

  /// Describes a machine.
  public init(
    identifier: Identifier, name: String, cores: Int, memory: UInt64, firmware: Firmware,
    disks: [Disk], adapters: [Adapter], directory: String, isDrill: Bool
  ) {
    (self.identifier, self.name, self.cores, self.memory) = (identifier, name, cores, memory)
    (self.firmware, self.disks, self.adapters) = (firmware, disks, adapters)
    (self.directory, self.isDrill) = (directory, isDrill)
  }
}
