public import Bytes

/// Why the replica may be other than the agent takes it for: what it found before it began a cycle, or
/// the service while it read the vault. Until everything was compared there are no recovery points.
public struct Doubt: Message, Hashable {
  /// What kind of reason it is. The raw values are the protocol's.
  public enum Reason: UInt8, Sendable, CaseIterable {
    /// A disk has another size than at the newest recovery point.
    case size = 1
    /// What tells which blocks changed since the newest recovery point is lost.
    case tracking = 2
    /// The path of a disk names another file.
    case replaced = 3
    /// A disk went back to what it was before.
    case reverted = 4
    /// More than half of a disk changed from one cycle to the next.
    case rewritten = 5
    /// The vault can't read what it has stored.
    case damaged = 6
  }

  /// One reason, of one disk.
  public struct Finding: Hashable, Sendable {
    /// What kind of reason it is.
    public var reason: Reason
    /// The disk.
    public var disk: DiskNumber
    /// What was found, in a sentence.
    public var text: String

    /// Puts it together; a text of more than 500 characters is cut.
    public init(_ reason: Reason, disk: DiskNumber, _ text: String) {
      (self.reason, self.disk, self.text) = (reason, disk, String(text.prefix(500)))
    }
  }

  /// Travels in a frame of this type.
  public static let type = MessageType.doubt

  /// The reasons; at most one a disk counts.
  public var findings: [Finding]

  /// Puts the message together.
  public init(_ findings: [Finding]) { self.findings = findings }

  /// All reasons, in sentences.
  public var text: String { findings.map(\.text).joined(separator: " ") }

  /// Reads the payload.
  public init(from reader: inout ByteReader) throws(ByteReader.ShortInput) {
    findings = try reader.list(limit: 64) { reader throws(ByteReader.ShortInput) in
      guard let reason = Reason(rawValue: try reader.integer()) else {
        throw ByteReader.ShortInput()
      }
      return Finding(reason, disk: try reader.integer(), try reader.shortText())
    }
  }

  /// Writes the payload.
  public func encode(into writer: inout ByteWriter) {
    writer.list(findings) { writer, finding in
      writer.integer(finding.reason.rawValue)
      writer.integer(finding.disk)
      writer.text(finding.text)
    }
  }
}
