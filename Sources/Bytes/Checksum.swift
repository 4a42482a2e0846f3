internal import CBytes

/// A running CRC32C (Castagnoli), the checksum of everything a vault stores.
public struct Checksum: Sendable {
  /// The checksum of all bytes added so far.
  public private(set) var value: UInt32

  /// Starts a checksum; a `seed` makes equal bytes of different places differ.
  @inline(__always)
  public init(seed: UInt32 = 0) { value = seed }

  /// Adds `bytes` to the checksum.
  @inline(__always)
  public mutating func add(_ bytes: UnsafeRawBufferPointer) {
    guard let base = bytes.baseAddress else { return }
    value = tidemark_crc32c(value, base, bytes.count)
  }

  /// Adds an integer as its little-endian bytes.
  @inline(__always)
  public mutating func add(_ integer: some FixedWidthInteger) {
    withUnsafeBytes(of: integer.littleEndian) { add($0) }
  }

  /// The checksum of `bytes` alone.
  @inline(__always)
  public static func of(_ bytes: UnsafeRawBufferPointer, seed: UInt32 = 0) -> UInt32 {
    var checksum = Checksum(seed: seed)
    checksum.add(bytes)
    return checksum.value
  }

  /// The checksum computed by table, whatever the processor offers; for tests.
  package static func portable(_ bytes: UnsafeRawBufferPointer, seed: UInt32 = 0) -> UInt32 {
    guard let base = bytes.baseAddress else { return seed }
    return tidemark_crc32c_portable(seed, base, bytes.count)
  }
}

extension UnsafeRawBufferPointer {
  /// Whether every byte is zero.
  public var isZero: Bool {
    guard let base = baseAddress else { return true }
    return tidemark_is_zero(base, count) != 0
  }
}
