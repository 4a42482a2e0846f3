internal import Bytes

/// One run as the MANIFEST knows it: one file, or several that divide its keys among them.
struct RunSet: Hashable, Sendable {
  /// In the order of their keys.
  var partitions: [RunDescription]

  /// The run's name: that of its first file.
  var id: LogFileName { partitions[0].file }
  var entryCount: UInt64 { partitions.reduce(0) { $0 + $1.entryCount } }
  var oldest: UInt64 { partitions[0].oldest }
  var newest: UInt64 { partitions[0].newest }

  /// A run of these files; nil if there is none.
  init?(_ partitions: [RunDescription]) {
    guard !partitions.isEmpty else { return nil }
    self.partitions = partitions
  }

  func encode() -> [UInt8] {
    var writer = ByteWriter(capacity: 8 + partitions.count * RunDescription.encodedSize)
    writer.integer(UInt64(partitions.count))
    for partition in partitions { partition.encode(into: &writer) }
    return writer.bytes
  }

  init(from reader: inout ByteReader) throws(ByteReader.ShortInput) {
    let count = try reader.integer(UInt64.self)
    guard count > 0, count <= UInt64(reader.remaining / RunDescription.encodedSize) else {
      throw ByteReader.ShortInput()
    }
    partitions = []
    for _ in 0..<count { partitions.append(try RunDescription(from: &reader)) }
  }
}

/// A run that lies in one file or several, opened for reading.
final class FileRun: Sendable {
  let set: RunSet
  let levels: UInt64
  let partitions: [RunFile]

  init(_ set: RunSet, partitions: [RunFile]) {
    (self.set, self.partitions) = (set, partitions)
    levels = partitions.reduce(0) { $0 | $1.description.levels }
  }

  /// The first partition that may hold a key.
  @inline(__always)
  private func firstPartition(for key: BlockKey) -> Int {
    var (low, high) = (0, partitions.count)
    while low < high {
      let middle = (low + high) / 2
      if partitions[middle].description.lastKey.rawValue < key.rawValue {
        low = middle + 1
      } else {
        high = middle
      }
    }
    return low
  }

  /// The first entry at or behind a place in the order; nil behind the last.
  func firstEntry(at key: BlockKey, _ sequence: UInt64) throws(VaultError) -> RunEntry? {
    for index in firstPartition(for: key)..<partitions.count {
      if let entry = try partitions[index].firstEntry(at: key, sequence) { return entry }
    }
    return nil
  }

  /// The newest entry of a key that is not newer than `sequence`; nil if there is none.
  func newestEntry(of key: BlockKey, _ sequence: UInt64) throws(VaultError) -> RunEntry? {
    for index in firstPartition(for: key)..<partitions.count {
      guard partitions[index].description.firstKey.rawValue <= key.rawValue else { return nil }
      if let entry = try partitions[index].newestEntry(of: key, sequence) { return entry }
    }
    return nil
  }

  /// Shows `query` the entries of its block from its cut backwards until it is satisfied.
  func collect(_ query: inout BlockQuery) throws(VaultError) {
    for index in firstPartition(for: query.key)..<partitions.count {
      guard partitions[index].description.firstKey.rawValue <= query.key.rawValue,
        query.wanted != 0
      else { return }
      try partitions[index].collect(&query)
    }
  }
}
