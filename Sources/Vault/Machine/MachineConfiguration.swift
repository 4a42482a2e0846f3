public import Bytes

/// What runs on a protected machine.
public enum OperatingSystem: UInt8, Sendable, CaseIterable {
  /// Linux.
  case linux = 1
  /// Windows.
  case windows = 2

  /// The word a person writes.
  public var name: String { String(describing: self) }
}

/// How a disk is read.
public enum CaptureMode: UInt8, Sendable, CaseIterable {
  /// Read whole and compared with the replica.
  case scan = 1
  /// Cloned on its own file system, and clones compared by their extents.
  case reflink = 2

  /// The word a person writes.
  public var name: String { String(describing: self) }
}

/// What a source file holds.
public enum SourceFormat: UInt8, Sendable, CaseIterable {
  /// The bytes of the disk.
  case raw = 1
  /// A VHD, fixed or dynamic.
  case vhd = 2

  /// The word a person writes.
  public var name: String { String(describing: self) }
}

/// A disk of a protected machine, and how it is read.
public struct DiskConfiguration: Hashable, Sendable {
  /// Which disk of the machine.
  public var number: DiskNumber
  /// The image file or block device, absolute.
  public var path: String
  /// How it is read.
  public var capture: CaptureMode
  /// What the file holds.
  public var format: SourceFormat

  /// A disk of these properties.
  public init(number: DiskNumber, path: String, capture: CaptureMode, format: SourceFormat) {
    (self.number, self.path, self.capture, self.format) = (number, path, capture, format)
  }
}

/// A protected machine as the operator described it.
public struct MachineConfiguration: Hashable, Sendable {
  /// Its name, unique in the vault.
  public var name: String
  /// What runs on it.
  public var operatingSystem: OperatingSystem
  /// Its disks, by number.
  public var disks: [DiskConfiguration]

  /// A machine of these properties.
  public init(name: String, operatingSystem: OperatingSystem, disks: [DiskConfiguration]) {
    (self.name, self.operatingSystem, self.disks) = (name, operatingSystem, disks)
  }

  func encode() -> [UInt8] {
    var writer = ByteWriter(capacity: 256)
    writer.text(name)
    writer.integer(UInt32(operatingSystem.rawValue))
    writer.integer(UInt32(disks.count))
    for disk in disks {
      writer.integer(disk.number)
      writer.integer(disk.capture.rawValue)
      writer.integer(disk.format.rawValue)
      writer.text(disk.path)
    }
    return writer.bytes
  }

  init(from reader: inout ByteReader) throws(ByteReader.ShortInput) {
    name = try reader.text()
    let system = UInt8(truncatingIfNeeded: try reader.integer(UInt32.self))
    operatingSystem = OperatingSystem(rawValue: system) ?? .linux
    let count = try reader.integer(UInt32.self)
    guard count <= Format.diskLimit else { throw ByteReader.ShortInput() }
    disks = []
    for _ in 0..<count {
      let number = try reader.integer(UInt16.self)
      guard let capture = CaptureMode(rawValue: try reader.integer()),
        let format = SourceFormat(rawValue: try reader.integer())
      else { throw ByteReader.ShortInput() }
      disks.append(
        DiskConfiguration(
          number: number, path: try reader.text(), capture: capture, format: format))
    }
  }
}

/// The rules for the names of machines and vaults: 1 to 63 letters, digits and hyphens, a letter or
/// digit at both ends (the rule Azure Site Recovery has for a target machine's name).
public enum NameRule {
  /// Names that mean something else where machines are listed.
  public static let reserved: Set<String> = ["test-failovers", "failed-over"]

  /// Why a name is refused; nil if it is good.
  public static func objection(to name: String) -> String? {
    let letters = name.utf8
    let isWord = { (byte: UInt8) in
      (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
    }
    guard (1...63).contains(letters.count) else { return "it must have 1 to 63 characters" }
    guard letters.allSatisfy({ isWord($0) || $0 == 45 }) else {
      return "only letters, digits and hyphens are allowed"
    }
    guard let first = letters.first, let last = letters.last, isWord(first), isWord(last) else {
      return "it must start and end with a letter or digit"
    }
    return reserved.contains(name.lowercased()) ? "the name is reserved" : nil
  }
}
