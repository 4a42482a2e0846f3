/// Something about a guest that is known from its disks, or is not.
public enum Fact<Value: Codable & Hashable & Sendable>: Codable, Hashable, Sendable {
  /// It is so; where that was read.
  case known(Value, source: String)
  /// Nobody could look, and why.
  case notChecked(String)

  /// What is known.
  public var value: Value? { if case .known(let value, _) = self { value } else { nil } }
}

/// What the disks of a machine tell of the system on them, as it would start from them.
///
/// Read from a file system whose journal is not replayed: what the guest wrote in its last seconds may be
/// missing. Every text comes from the guest, and is cut to a bounded length.
public struct GuestFacts: Codable, Hashable, Sendable {
  /// What of a disk could start the machine.
  public struct Disk: Codable, Hashable, Sendable {
    /// Its partition table: `mbr`, `gpt`, or `none`.
    public var scheme: Fact<String>
    /// What a PC's firmware would run: `grub`, `syslinux`, `windows`, `other`, or `none`.
    public var loader: Fact<String>
    /// The number of its EFI system partition; 0 if it has none.
    public var systemPartition: Fact<Int>
  }

  /// Where a file system lies.
  public struct Place: Codable, Hashable, Sendable {
    /// Which disk of those that were given, from 0.
    public var disk: Int
    /// Which partition; 0 if the whole disk is one file system.
    public var partition: Int
  }

  /// How a kernel comes by a driver.
  public enum Driver: String, Codable, Hashable, Sendable, CaseIterable {
    /// It is part of the kernel.
    case builtIn
    /// It is a module: something has to load it.
    case module
    /// It has none.
    case absent
  }

  /// An address that the guest gives itself.
  public struct StaticAddress: Codable, Hashable, Sendable {
    /// The address, as it is written there: `192.0.2.7`.
    public var address: String
    /// The file that says so.
    public var source: String
  }

  /// Each disk that was given, in order.
  public var disks: [Disk]
  /// The root file system.
  public var root: Fact<Place>
  /// The system's name, such as `Debian GNU/Linux 12 (bookworm)`.
  public var system: Fact<String>
  /// The guest's name for itself.
  public var hostName: Fact<String>
  /// The kernels by version, the newest last.
  public var kernels: Fact<[String]>
  /// Of these, the ones that have an initial file system beside them.
  public var initialFileSystems: Fact<[String]>
  /// How the newest kernel comes by the driver of virtio's disks.
  public var diskDriver: Fact<Driver>
  /// How the newest kernel comes by the driver of virtio's network adapters.
  public var networkDriver: Fact<Driver>
  /// Whether the kernel writes to the first serial port.
  public var serialConsole: Fact<Bool>
  /// Whether one can log in there.
  public var serialLogin: Fact<Bool>
  /// Devices by which file systems are mounted whose names depend on the hardware, such as `/dev/sda1`.
  public var namedDevices: Fact<[String]>
  /// Addresses that the guest gives itself.
  public var staticAddresses: Fact<[StaticAddress]>

  /// Nothing is known, for one reason.
  public init(disks: Int, notChecked reason: String) {
    let disk = Disk(
      scheme: .notChecked(reason), loader: .notChecked(reason), systemPartition: .notChecked(reason)
    )
    self.disks = [Disk](repeating: disk, count: disks)
    root = .notChecked(reason)
    system = .notChecked(reason)
    hostName = .notChecked(reason)
    kernels = .notChecked(reason)
    initialFileSystems = .notChecked(reason)
    diskDriver = .notChecked(reason)
    networkDriver = .notChecked(reason)
    serialConsole = .notChecked(reason)
    serialLogin = .notChecked(reason)
    namedDevices = .notChecked(reason)
    staticAddresses = .notChecked(reason)
  }
}
