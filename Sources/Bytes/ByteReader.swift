/// Takes integers and byte strings one after another from untrusted bytes.
///
/// Every step checks the length; bytes that end early are `ShortInput`, never a trap. Integers are
/// little-endian unless the name says otherwise.
public struct ByteReader {
  /// The bytes ended before the value asked for.
  public struct ShortInput: Error, Sendable {
    /// Builds the error.
    public init() {}
  }

  private let bytes: UnsafeRawBufferPointer
  /// How many bytes were taken so far.
  public private(set) var position: Int

  /// Reads `bytes` from their start. The caller keeps the memory alive.
  public init(_ bytes: UnsafeRawBufferPointer) {
    self.bytes = bytes
    position = 0
  }

  /// How many bytes are left.
  public var remaining: Int { bytes.count - position }

  /// Takes a little-endian integer.
  public mutating func integer<T: FixedWidthInteger>(
    _ type: T.Type = T.self
  ) throws(ShortInput) -> T {
    let size = MemoryLayout<T>.size
    guard remaining >= size else { throw ShortInput() }
    defer { position += size }
    return T(littleEndian: bytes.loadUnaligned(fromByteOffset: position, as: T.self))
  }

  /// Takes a big-endian integer.
  public mutating func bigEndian<T: FixedWidthInteger>(
    _ type: T.Type = T.self
  ) throws(ShortInput) -> T {
    try integer(type).byteSwapped
  }

  /// Takes `count` bytes.
  public mutating func bytes(_ count: Int) throws(ShortInput) -> UnsafeRawBufferPointer {
    guard count >= 0, remaining >= count else { throw ShortInput() }
    defer { position += count }
    return UnsafeRawBufferPointer(rebasing: bytes[position..<position + count])
  }

  /// Passes over `count` bytes.
  public mutating func skip(_ count: Int) throws(ShortInput) { _ = try bytes(count) }

  /// Takes a 16-byte identifier.
  public mutating func identifier() throws(ShortInput) -> Identifier {
    let high = try bigEndian(UInt64.self)
    return Identifier(high: high, low: try bigEndian(UInt64.self))
  }

  /// Takes a text: a 32-bit length, then UTF-8. What is not UTF-8 is replaced.
  public mutating func text() throws(ShortInput) -> String {
    let count = Int(try integer(UInt32.self))
    return String(decoding: try bytes(count), as: UTF8.self)
  }
}
