public import Bytes
internal import Crypto
public import Vault

/// What an agent says first.
public struct Hello: Message, Hashable {
  /// A disk as the agent has it.
  public struct Disk: Hashable, Sendable {
    /// Which disk, where it lies and how it is read.
    public var configuration: DiskConfiguration
    /// Its size in bytes; 0 if it can't be told.
    public var size: UInt64

    /// A disk of these properties.
    public init(configuration: DiskConfiguration, size: UInt64) {
      (self.configuration, self.size) = (configuration, size)
    }
  }

  /// Travels in a frame of this type.
  public static let type = MessageType.hello
  private static let addressLimit = 256
  private static let diskLimit = 64
  private static let findingLimit = 128

  /// The versions of the protocol it speaks.
  public var versions: ClosedRange<UInt16> = ProtocolVersion.oldest...ProtocolVersion.newest
  /// The agent's release.
  public var release: String
  /// The machine's own name.
  public var hostName: String
  /// The machine's operating system, as a person says it.
  public var system: String
  /// Every address of every adapter.
  public var addresses: [String]
  /// The agent's clock.
  public var clock: Timestamp
  /// The newest number that the agent knows to be durable; zero if it knows of none, or lost what it
  /// knew.
  public var held: SequenceNumber
  /// The disks it is to send.
  public var disks: [Disk]
  /// What the agent found when it looked whether it can do its work.
  public var findings: [Finding]
  /// What the machine is made of.
  public var hardware = Hardware()
  /// The machine's epoch, as the agent was told last since it enrolled; nil if it never was.
  public var epoch: UInt32?
  /// Random, new for each session: what is said through a relay is bound to it.
  public var nonce: [UInt8]
  /// The machine's ECDSA signature of ``digest()``; looked at where the hello came through a relay.
  public var signature: [UInt8] = []

  /// Puts the message together.
  public init(
    release: String, hostName: String, system: String, addresses: [String], clock: Timestamp,
    held: SequenceNumber, disks: [Disk], findings: [Finding] = []
  ) {
    (self.release, self.hostName, self.system) = (release, hostName, system)
    (self.addresses, self.clock, self.held, self.disks) = (addresses, clock, held, disks)
    self.findings = findings
    nonce = (0..<Seal.nonceSize).map { _ in .random(in: 0...255) }
  }

  /// Reads the payload.
  public init(from reader: inout ByteReader) throws(ByteReader.ShortInput) {
    let (low, high) = (try reader.integer(UInt16.self), try reader.integer(UInt16.self))
    guard low <= high else { throw ByteReader.ShortInput() }
    versions = low...high
    release = try reader.shortText()
    hostName = try reader.shortText()
    system = try reader.shortText()
    addresses = try reader.list(limit: Self.addressLimit) { reader throws(ByteReader.ShortInput) in
      try reader.shortText()
    }
    clock = Timestamp(rawValue: try reader.integer())
    held = SequenceNumber(rawValue: try reader.integer())
    disks = try reader.list(limit: Self.diskLimit) { reader throws(ByteReader.ShortInput) in
      try Disk(from: &reader)
    }
    guard Set(disks.map(\.configuration.number)).count == disks.count else {
      throw ByteReader.ShortInput()
    }
    findings = try reader.list(limit: Self.findingLimit) {
      reader throws(ByteReader.ShortInput) in
      try Finding(from: &reader)
    }
    hardware = try Hardware(from: &reader)
    let epoch = try reader.integer(UInt32.self)
    self.epoch = try reader.flag() ? epoch : nil
    nonce = Array(try reader.bytes(Seal.nonceSize))
    signature = try reader.blob(limit: 128)
  }

  /// What is signed: the SHA-256 of "tidemark hello 1\n" and the payload up to the signature.
  public func digest() -> [UInt8] {
    var writer = ByteWriter(capacity: 512)
    writer.append(contentsOf: "tidemark hello 1\n".utf8)
    encodeSigned(into: &writer)
    return Array(SHA256.hash(data: writer.bytes))
  }

  /// Writes the payload.
  public func encode(into writer: inout ByteWriter) {
    encodeSigned(into: &writer)
    writer.blob(signature)
  }

  private func encodeSigned(into writer: inout ByteWriter) {
    writer.integer(versions.lowerBound)
    writer.integer(versions.upperBound)
    writer.text(release)
    writer.text(hostName)
    writer.text(system)
    writer.list(addresses) { $0.text($1) }
    writer.integer(clock.rawValue)
    writer.integer(held.rawValue)
    writer.list(disks) { $1.encode(into: &$0) }
    writer.list(findings) { $1.encode(into: &$0) }
    hardware.encode(into: &writer)
    writer.integer(epoch ?? 0)
    writer.flag(epoch != nil)
    writer.append(contentsOf: nonce)
  }
}

extension Hello.Disk {
  fileprivate init(from reader: inout ByteReader) throws(ByteReader.ShortInput) {
    let number = try reader.integer(DiskNumber.self)
    guard let capture = CaptureMode(rawValue: try reader.integer()),
      let format = SourceFormat(rawValue: try reader.integer())
    else { throw ByteReader.ShortInput() }
    size = try reader.integer()
    configuration = DiskConfiguration(
      number: number, path: try reader.shortText(), capture: capture, format: format)
  }

  fileprivate func encode(into writer: inout ByteWriter) {
    writer.integer(configuration.number)
    writer.integer(configuration.capture.rawValue)
    writer.integer(configuration.format.rawValue)
    writer.integer(size)
    writer.text(configuration.path)
  }
}
