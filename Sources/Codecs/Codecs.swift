internal import CCodecs

/// How the bytes of a cell are compressed. The raw value is what records store.
public enum Codec: UInt8, CaseIterable, Sendable {
  /// Stored as they are.
  case none = 0
  /// A raw deflate stream (RFC 1951), level 1.
  case zlib = 1
  /// A zstd frame (RFC 8878), level 1.
  case zstd = 2

  /// The name a person writes.
  public var name: String { String(describing: self) }

  /// The codec a person named; nil if there is none of that name.
  public init?(name: String) {
    guard let codec = Self.allCases.first(where: { $0.name == name }) else { return nil }
    self = codec
  }
}
