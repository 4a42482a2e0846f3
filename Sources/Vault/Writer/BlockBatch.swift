internal import Bytes
internal import Dispatch
internal import FoundationEssentials
internal import Synchronization

/// Records that wait to be encoded: up to 64 blocks, encoded on all cores at once.
///
/// `@unchecked Sendable`: one thread uses it, and between `begin` and `end` only those that encode.
final class BlockBatch: @unchecked Sendable {
  static let capacity = 64

  private let content = UnsafeMutableRawBufferPointer.allocate(
    byteCount: capacity * Layout.blockSize, alignment: 4096)
  private let encoded = UnsafeMutableRawBufferPointer.allocate(
    byteCount: capacity * Format.largestBlockRecord, alignment: 4096)
  private var headers: [RecordHeader] = []
  private let encoders: [BlockRecordEncoder]
  private let clock = ContinuousClock()
  private let queue = DispatchQueue(label: "tidemark.encode", qos: .userInitiated)
  private let encodingEnds = DispatchGroup()
  /// How long was spent on encoding so far.
  var encodingTime: Duration { time.withLock { $0 } }
  private let time = Mutex(Duration.zero)

  init() {
    let workers = max(1, min(8, ProcessInfo.processInfo.activeProcessorCount))
    encoders = (0..<workers).map { _ in BlockRecordEncoder() }
    headers.reserveCapacity(Self.capacity)
  }

  deinit {
    content.deallocate()
    encoded.deallocate()
  }

  var isEmpty: Bool { headers.isEmpty }
  var isFull: Bool { headers.count == Self.capacity }

  /// Adds a data record whose pages are copied out of `block`, or a record without content.
  func add(_ header: RecordHeader, block: UnsafeRawBufferPointer? = nil) {
    if let block {
      let start = headers.count * Layout.blockSize
      UnsafeMutableRawBufferPointer(rebasing: content[start..<start + Layout.blockSize])
        .copyMemory(from: block)
    }
    headers.append(header)
  }

  /// Begins to encode everything, on other threads; nothing may be added until it was drained.
  func begin(identity: LogIdentity) {
    queue.async(group: encodingEnds) { [self] in encode(identity) }
  }

  /// Waits until all that `begin` began with is encoded, and does as `give` does.
  func end<Failure: Error>(
    _ body: (RecordHeader, UnsafeRawBufferPointer) throws(Failure) -> Void
  ) throws(Failure) {
    encodingEnds.wait()
    try give(to: body)
  }

  /// Gives each encoded record, in the order it was added, to `body`; then forgets them.
  func give<Failure: Error>(
    to body: (RecordHeader, UnsafeRawBufferPointer) throws(Failure) -> Void
  ) throws(Failure) {
    defer { forget() }
    for (index, header) in headers.enumerated() {
      let start = index * Format.largestBlockRecord
      try body(
        header, UnsafeRawBufferPointer(rebasing: encoded[start..<start + Int(header.length)]))
    }
  }

  /// Forgets what was added; nothing of it may be being encoded.
  func forget() { headers.removeAll(keepingCapacity: true) }

  /// Encodes everything, on all cores.
  func encode(_ identity: LogIdentity) {
    let start = clock.now
    defer { time.withLock { $0 += clock.now - start } }
    let workers = min(encoders.count, headers.count)
    headers.withUnsafeMutableBufferPointer { headers in
      // Each worker has its own encoder and its own share of the slots.
      nonisolated(unsafe) let (headers, content, encoded) = (headers, content, encoded)
      nonisolated(unsafe) let encoders = encoders
      DispatchQueue.concurrentPerform(iterations: workers) { worker in
        for index in stride(from: worker, to: headers.count, by: workers) {
          let slot = index * Format.largestBlockRecord
          let output = UnsafeMutableRawBufferPointer(
            rebasing: encoded[slot..<slot + Format.largestBlockRecord])
          guard headers[index].type == .data else {
            headers[index].encode(into: output, identity: identity)
            continue
          }
          let start = index * Layout.blockSize
          let block = UnsafeRawBufferPointer(rebasing: content[start..<start + Layout.blockSize])
          headers[index] = encoders[worker].encode(
            headers[index], content: block, identity: identity, into: output)
        }
      }
    }
  }
}
