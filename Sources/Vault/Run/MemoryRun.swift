internal import Bytes

/// A sorted run in memory: the index of a segment that is still open.
final class MemoryRun: Sendable {
  let entries: [RunEntry]
  /// Zeroed stretches' levels, as in `RunDescription`.
  let levels: UInt64

  /// Sorts `entries`.
  init(_ entries: [RunEntry]) {
    self.entries = entries.sorted { $0.precedes($1.key, $1.sequence) }
    levels = entries.reduce(0) { $1.key.level == 0 ? $0 : $0 | 1 << UInt64($1.key.level) }
  }

  var oldest: UInt64 { entries.reduce(.max) { min($0, $1.sequence) } }

  func firstEntry(at key: BlockKey, _ sequence: UInt64) -> RunEntry? {
    entries.withUnsafeBufferPointer { entries in
      let place = entries.place(of: key, sequence)
      return place < entries.count ? entries[place] : nil
    }
  }

  func collect(_ query: inout BlockQuery) {
    entries.withUnsafeBufferPointer { entries in
      var place = entries.place(of: query.key, query.cut)
      while place < entries.count, entries[place].key == query.key {
        guard query.take(entries[place]) else { return }
        place += 1
      }
    }
  }
}

/// A run of any kind.
enum Run: Sendable {
  case memory(MemoryRun)
  case open(OpenIndex)
  case file(FileRun)

  var levels: UInt64 {
    switch self {
    case .memory(let run): run.levels
    case .open(let run): run.levels
    case .file(let run): run.levels
    }
  }

  /// The oldest number in the run.
  var oldest: UInt64 {
    switch self {
    case .memory(let run): run.oldest
    case .open: 0
    case .file(let run): run.set.oldest
    }
  }

  @inline(__always)
  func firstEntry(at key: BlockKey, _ sequence: UInt64) throws(VaultError) -> RunEntry? {
    switch self {
    case .memory(let run): run.firstEntry(at: key, sequence)
    case .open(let run): run.firstEntry(at: key)
    case .file(let run): try run.firstEntry(at: key, sequence)
    }
  }

  @inline(__always)
  func newestEntry(of key: BlockKey, _ sequence: UInt64) throws(VaultError) -> RunEntry? {
    switch self {
    case .memory(let run): run.firstEntry(at: key, sequence).flatMap { $0.key == key ? $0 : nil }
    case .open(let run): run.newestZero(of: key)
    case .file(let run): try run.newestEntry(of: key, sequence)
    }
  }

  @inline(__always)
  func collect(_ query: inout BlockQuery) throws(VaultError) {
    switch self {
    case .memory(let run): run.collect(&query)
    case .open(let run): run.collect(&query)
    case .file(let run): try run.collect(&query)
    }
  }
}
