import Bytes
import Support
import Testing

@testable import Vault

/// What a source does that encodes its records by itself.
extension ModelRound {
  /// Encodes writes elsewhere and hands them over in one piece.
  func ingest(_ count: Int) throws -> Bool {
    var stream: RecordStream?
    guard try attempt("position", { _ in }, { stream = try self.stream() }), let stream
    else { return false }
    var after = head
    var steps: [ModelDisks] = []
    var records: [UInt8] = []
    for _ in 0..<count {
      try encodeOne(into: stream, &after)
      steps.append(after)
      if stream.isFull { stream.drain { records += $1 } }
    }
    stream.drain { records += $1 }
    let before = writer.lastSequence.rawValue
    let isDone = try attempt("ingest \(count)") {
      let added = try records.withUnsafeBytes { try writer.append($0) }
      #expect(added == count)
    }
    if writer.lastSequence.rawValue > before {
      for (place, step) in steps.enumerated() { states[before + UInt64(place) + 1] = step }
      head = after
    }
    return isDone
  }

  private func stream() throws -> RecordStream {
    let clock = clock
    return RecordStream(
      writer.machine.identity, codec: writer.codec, position: try writer.position(),
      clock: { clock.now })
  }

  private func encodeOne(into stream: RecordStream, _ after: inout ModelDisks) throws {
    let index = random.number(0..<numbers.count)
    let blocks = after.pages[index].count / Layout.pagesPerBlock
    let block = random.number(0..<blocks)
    guard random.once(in: 5) else {
      let pages = max(1, UInt16(truncatingIfNeeded: random.next()))
      let (bytes, written) = content(
        index, block: block, pages: pages, before: after.pages[index])
      after.pages[index] = written
      return try bytes.withUnsafeBytes {
        try stream.write(disk: numbers[index], block: UInt64(block), bytes: $0, pages: pages)
      }
    }
    let count = UInt64(random.number(1..<blocks - block + 1))
    after.zero(index, firstBlock: UInt64(block), count: count)
    try stream.zero(disk: numbers[index], firstBlock: UInt64(block), count: count)
  }

  /// Gives up what was stored since the newest point.
  func abandon() throws -> Bool {
    guard try commit() else { return false }
    let settled = points.last?.disks
    let empty = ModelDisks(pages: head.pages.map { [UInt32](repeating: 0, count: $0.count) })
    let isDone = try attempt("abandon", { $0 = settled ?? empty }) { try writer.abandonUnmarked() }
    if isDone { acknowledge() }
    return isDone
  }
}
