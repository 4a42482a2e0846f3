public import Bytes

/// What is there of a machine, as it says itself.
public struct MachineObservation: Codable, Hashable, Sendable {
  /// Whether it runs.
  public enum Power: String, Codable, Hashable, Sendable, CaseIterable {
    /// It runs.
    case on
    /// It runs and was halted by something outside, or by an error of its disks.
    case paused
    /// It is off: the guest, or somebody, powered it down.
    case off
    /// It was running, and is gone without having been powered down.
    case died
  }

  /// A disk that it has.
  public struct Disk: Codable, Hashable, Sendable {
    /// The raw file.
    public var path: String
    /// Bytes that the guest sees.
    public var size: UInt64
    /// Whether the machine boots from it.
    public var isSystem: Bool
  }

  /// The address of an adapter.
  public enum Address: Codable, Hashable, Sendable {
    /// The machine was seen to use it.
    case used(IPv4Address)
    /// The DHCP server gave it to the machine; nothing was seen yet that it sent from it.
    case leased(IPv4Address)
    /// Nothing was seen yet that shows an address.
    case notSeen
    /// It can't be seen in this kind of network.
    case notObserved
  }

  /// An adapter that it has.
  public struct Adapter: Codable, Hashable, Sendable {
    /// What it is connected with.
    public var network: MachinePlan.Network
    /// The adapter's own address.
    public var hardware: HardwareAddress
    /// Its address in that network.
    public var address: Address
  }

  /// Whether it runs.
  public var power: Power
  /// The process; nil if there is none.
  public var process: Int32?
  /// When it was started.
  public var started: Timestamp?
  /// The target name.
  public var name: String?
  /// Processors; nil if it is off.
  public var cores: Int?
  /// Bytes of memory; nil if it is off.
  public var memory: UInt64?
  /// What it began to boot with; nil if it is off.
  public var firmware: MachinePlan.Firmware?
  /// Whether the host's processor runs the guest (KVM), or a program does (TCG); nil if it is off.
  public var isAccelerated: Bool?
  /// The disks in the order in which the guest sees them; none if it is off.
  public var disks: [Disk] = []
  /// The adapters in order; none if it is off.
  public var adapters: [Adapter] = []
  /// Whether it is off because its power was taken.
  public var wasForced = false
  /// What a person should know: why it died, or is off though it was to run; errors of disks.
  public var notes: [String] = []

  /// An observation of a machine that is not there any more, or not yet.
  public init(_ power: Power) { self.power = power }
}

/// How to reach a machine that runs.
public struct MachineConnections: Codable, Hashable, Sendable {
  /// A port of the host that leads to one of the machine.
  public struct Port: Codable, Hashable, Sendable {
    /// The TCP port on 127.0.0.1.
    public var host: UInt16
    /// The TCP port of the machine.
    public var guest: UInt16
    /// Which adapter it leads to, counted from 0.
    public var adapter: Int
  }

  /// The Unix socket of its serial console; it serves one client at a time.
  public var serialSocket: String
  /// The Unix socket of its screen and keyboard (VNC).
  public var displaySocket: String
  /// The file with the last of what it wrote to its serial console.
  public var consoleLog: String
  /// The forwarded ports.
  public var ports: [Port]
}
