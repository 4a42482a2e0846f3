internal import Bytes

/// A page of a run: 16 bytes of header, then up to 102 entries or fences of 40 bytes.
///
/// Header: magic "TMPG", count (16 bit), kind (8), reserved (8), page index (32), checksum (32).
enum IndexPage {
  static let magic: UInt32 = 0x4750_4D54

  /// What a page holds.
  enum Kind: UInt8 {
    case entries = 1
    case fences = 2
    case root = 3
  }

  /// Builds a page into `bytes`, which holds 4096.
  static func build<Item>(
    _ items: ArraySlice<Item>, kind: Kind, index: UInt32, seed: UInt32,
    into bytes: UnsafeMutableRawBufferPointer
  ) {
    bytes.initializeMemory(as: UInt8.self, repeating: 0)
    bytes.storeBytes(of: magic, as: UInt32.self)
    bytes.storeBytes(of: UInt16(items.count), toByteOffset: 4, as: UInt16.self)
    bytes.storeBytes(of: kind.rawValue, toByteOffset: 6, as: UInt8.self)
    bytes.storeBytes(of: index, toByteOffset: 8, as: UInt32.self)
    items.withUnsafeBytes { source in
      UnsafeMutableRawBufferPointer(rebasing: bytes[Format.indexPageHeaderSize...])
        .copyMemory(from: source)
    }
    let checksum = checksum(UnsafeRawBufferPointer(bytes), seed)
    bytes.storeBytes(of: checksum, toByteOffset: 12, as: UInt32.self)
  }

  /// Whether `bytes` are the intact page of this kind and index.
  static func isIntact(
    _ bytes: UnsafeRawBufferPointer, kind: Kind, index: UInt32, seed: UInt32
  ) -> Bool {
    bytes.load(as: UInt32.self) == magic && bytes[6] == kind.rawValue
      && bytes.load(fromByteOffset: 8, as: UInt32.self) == index
      && count(bytes) <= Format.entriesPerPage
      && checksum(bytes, seed) == bytes.load(fromByteOffset: 12, as: UInt32.self)
  }

  private static func checksum(_ bytes: UnsafeRawBufferPointer, _ seed: UInt32) -> UInt32 {
    var checksum = Checksum(seed: seed)
    checksum.add(UnsafeRawBufferPointer(rebasing: bytes[..<12]))
    checksum.add(UnsafeRawBufferPointer(rebasing: bytes[Format.indexPageHeaderSize...]))
    return checksum.value
  }

  @inline(__always)
  static func count(_ bytes: UnsafeRawBufferPointer) -> Int {
    Int(bytes.load(fromByteOffset: 4, as: UInt16.self))
  }

  /// The page's items, in place.
  @inline(__always)
  static func items<Item>(
    _ bytes: UnsafeRawBufferPointer, as type: Item.Type
  ) -> UnsafeBufferPointer<Item> {
    let body = UnsafeRawBufferPointer(
      rebasing: bytes[
        Format.indexPageHeaderSize..<Format.indexPageHeaderSize + count(bytes)
          * Format.indexEntrySize])
    return body.assumingMemoryBound(to: type)
  }
}

extension UnsafeBufferPointer<RunEntry> {
  /// The first entry at or behind the place of (`key`, `sequence`).
  @inline(__always)
  func place(of key: BlockKey, _ sequence: UInt64) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if self[middle].precedes(key, sequence) { low = middle + 1 } else { high = middle }
    }
    return low
  }
}

extension UnsafeBufferPointer<Fence> {
  /// The last fence before the place of (`key`, `sequence`); the first if there is none.
  @inline(__always)
  func child(for key: BlockKey, _ sequence: UInt64) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if self[middle].precedes(key, sequence) { low = middle + 1 } else { high = middle }
    }
    return Swift.max(0, low - 1)
  }
}
