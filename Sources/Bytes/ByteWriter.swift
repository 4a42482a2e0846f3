/// Puts integers and byte strings one after another; the mirror of `ByteReader`.
public struct ByteWriter: Sendable {
  /// What was written so far.
  public private(set) var bytes: [UInt8]

  /// Starts empty, with room for `capacity` bytes.
  public init(capacity: Int = 64) {
    bytes = []
    bytes.reserveCapacity(capacity)
  }

  /// Appends an integer, little-endian.
  public mutating func integer(_ value: some FixedWidthInteger) {
    withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
  }

  /// Appends an integer, big-endian.
  public mutating func bigEndian(_ value: some FixedWidthInteger) {
    withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) }
  }

  /// Appends `more` as it is.
  public mutating func append(contentsOf more: some Sequence<UInt8>) {
    bytes.append(contentsOf: more)
  }

  /// Appends zeros until the length is a multiple of `alignment`.
  public mutating func pad(to alignment: Int) {
    let excess = bytes.count % alignment
    if excess > 0 { zeros(alignment - excess) }
  }

  /// Appends `count` zeros.
  public mutating func zeros(_ count: Int) {
    bytes.append(contentsOf: repeatElement(0, count: count))
  }

  /// Appends a 16-byte identifier.
  public mutating func identifier(_ value: Identifier) {
    bigEndian(value.high)
    bigEndian(value.low)
  }

  /// Appends a text: a 32-bit length, then UTF-8.
  public mutating func text(_ value: String) {
    integer(UInt32(value.utf8.count))
    bytes.append(contentsOf: value.utf8)
  }

  /// Overwrites the integer at `offset`, little-endian.
  public mutating func replace(at offset: Int, with value: some FixedWidthInteger) {
    withUnsafeBytes(of: value.littleEndian) { source in
      for (index, byte) in source.enumerated() { bytes[offset + index] = byte }
    }
  }
}
