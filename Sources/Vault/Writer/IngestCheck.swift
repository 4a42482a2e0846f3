internal import Bytes
internal import Codecs
internal import Dispatch
internal import FoundationEssentials

/// Checks the cells of records before they enter the log, on all cores.
final class IngestCheck {
  /// What one core needs.
  private final class Worker {
    let coder = CellCoder()
    let scratch = UnsafeMutableRawBufferPointer.allocate(
      byteCount: Layout.cellSize, alignment: 16)
    var firstDamaged: Int?

    deinit { scratch.deallocate() }
  }

  private let workers: [Worker] = {
    let count = max(1, min(8, ProcessInfo.processInfo.activeProcessorCount))
    return (0..<count).map { _ in Worker() }
  }()

  /// The place of the first record that has a damaged cell; nil if all are whole.
  func firstDamaged(
    _ records: [(header: RecordHeader, range: Range<Int>)], in bytes: UnsafeRawBufferPointer,
    identity: LogIdentity
  ) -> Int? {
    let count = min(workers.count, records.count)
    // Each worker has its own coder and its own share of the records.
    nonisolated(unsafe) let (bytes, workers) = (bytes, workers)
    DispatchQueue.concurrentPerform(iterations: count) { number in
      let worker = workers[number]
      worker.firstDamaged = nil
      for index in stride(from: number, to: records.count, by: count) {
        let (header, range) = records[index]
        guard header.type == .data else { continue }
        let damaged = RecordCheck.damagedPages(
          of: header, in: UnsafeRawBufferPointer(rebasing: bytes[range]), identity: identity,
          coder: worker.coder, scratch: worker.scratch)
        guard damaged == 0 else {
          worker.firstDamaged = index
          return
        }
      }
    }
    return workers.prefix(count).compactMap(\.firstDamaged).min()
  }
}
