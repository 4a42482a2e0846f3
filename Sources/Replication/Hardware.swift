internal import Bytes

/// What a machine is made of, as far as its agent can tell.
public struct Hardware: Hashable, Sendable {
  /// What starts a machine.
  public enum Firmware: UInt8, Sendable, CaseIterable {
    /// It can't be told.
    case unknown = 0
    /// The boot record of the first disk.
    case bios = 1
    /// A program in an EFI system partition.
    case uefi = 2
  }

  /// A network adapter.
  public struct Adapter: Hashable, Sendable {
    /// What the machine calls it.
    public var name: String
    /// Its hardware address, such as `52:54:00:12:34:56`; empty if it can't be told.
    public var hardwareAddress: String
    /// Its addresses.
    public var addresses: [String]

    /// An adapter of these properties.
    public init(name: String, hardwareAddress: String, addresses: [String]) {
      (self.name, self.hardwareAddress, self.addresses) = (name, hardwareAddress, addresses)
    }
  }

  private static let adapterLimit = 64
  private static let addressLimit = 64

  /// Processors; 0 if they can't be told.
  public var cores: UInt32
  /// Bytes of memory; 0 if they can't be told.
  public var memory: UInt64
  /// What starts it.
  public var firmware: Firmware
  /// Its adapters, in the order of the machine.
  public var adapters: [Adapter]

  /// Hardware of these properties; what is left out can't be told.
  public init(
    cores: UInt32 = 0, memory: UInt64 = 0, firmware: Firmware = .unknown, adapters: [Adapter] = []
  ) {
    (self.cores, self.memory, self.firmware) = (cores, memory, firmware)
    self.adapters = adapters
  }

  init(from reader: inout ByteReader) throws(ByteReader.ShortInput) {
    (cores, memory) = (try reader.integer(), try reader.integer())
    guard let firmware = Firmware(rawValue: try reader.integer()) else {
      throw ByteReader.ShortInput()
    }
    self.firmware = firmware
    adapters = try reader.list(limit: Self.adapterLimit) { reader throws(ByteReader.ShortInput) in
      Adapter(
        name: try reader.shortText(), hardwareAddress: try reader.shortText(),
        addresses: try reader.list(limit: Self.addressLimit) {
          reader throws(ByteReader.ShortInput) in try reader.shortText()
        })
    }
  }

  func encode(into writer: inout ByteWriter) {
    writer.integer(cores)
    writer.integer(memory)
    writer.integer(firmware.rawValue)
    writer.list(Array(adapters.prefix(Self.adapterLimit))) { writer, adapter in
      writer.text(adapter.name)
      writer.text(adapter.hardwareAddress)
      writer.list(Array(adapter.addresses.prefix(Self.addressLimit))) { $0.text($1) }
    }
  }
}
