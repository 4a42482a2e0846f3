internal import Bytes
internal import FileIO
internal import Synchronization

/// A segment of a branch that is not sealed: it takes records, or waits for its run to be written.
final class BranchSegment: Sendable {
  /// So much is written ahead at once.
  private static let stride: UInt64 = 1 << 20
  /// Less than this between two flushes means that they are what writers wait for.
  private static let flushedOften: UInt64 = 256 << 10

  private struct Bounds {
    var end: UInt64
    var durable: UInt64
    /// The size of the file, as far as it has zeros behind its records.
    var prepared: UInt64 = 0
    var recordCount = 0
    var lastSequence: SequenceNumber
    var lastTime = Timestamp(rawValue: 0)
  }

  let number: UInt32
  /// The first number it can hold.
  let firstSequence: SequenceNumber
  let headerLength: UInt32
  let file: LogFile
  let index = OpenIndex()
  private let bounds: Mutex<Bounds>
  /// The kernel tells of bytes that it could not write by one fdatasync of an open file, and never again: so
  /// all of them go one by one, and after one that failed each that follows fails.
  private let failure = Mutex<IOError?>(nil)

  /// A new segment that has its header, durable.
  init(_ header: SegmentHeader, file: LogFile) {
    (number, firstSequence, headerLength) = (header.number, header.firstSequence, header.length)
    self.file = file
    bounds = Mutex(Self.empty(header.length, header.firstSequence))
  }

  /// A segment that a writer before this one made ready and never used.
  init(_ segment: ManifestState.Segment, file: LogFile) {
    (number, firstSequence) = (segment.number, segment.firstSequence)
    (headerLength, self.file) = (segment.headerLength, file)
    bounds = Mutex(Self.empty(segment.headerLength, segment.firstSequence))
  }

  private static func empty(_ length: UInt32, _ first: SequenceNumber) -> Bounds {
    Bounds(
      end: UInt64(length), durable: UInt64(length),
      lastSequence: SequenceNumber(rawValue: max(first.rawValue, 1) - 1))
  }

  /// Where the next record goes.
  var end: UInt64 { bounds.withLock { $0.end } }
  /// Everything before this is durable.
  var durable: UInt64 { bounds.withLock { $0.durable } }
  var isDurable: Bool { bounds.withLock { $0.durable == $0.end } }
  var last: (sequence: SequenceNumber, time: Timestamp) {
    bounds.withLock { ($0.lastSequence, $0.lastTime) }
  }

  /// Whether it is time for the next one, or, `times` over, past that.
  func isFull(_ limits: LogLimits, times: Int = 1) -> Bool {
    bounds.withLock { bounds in
      bounds.end >= limits.segmentSize * UInt64(times)
        || bounds.recordCount >= limits.segmentRecords * times
    } || index.count >= limits.segmentEntries * times
  }

  /// Writes records at the end; until they are added nobody reads them.
  func put(_ bytes: UnsafeRawBufferPointer) throws(IOError) {
    prepare(UInt64(bytes.count))
    try file.file.write(bytes, at: end)
  }

  /// Keeps zeros ahead of the records where flushes come often, for an fdatasync over what was written before
  /// takes less time than one that makes a file longer. They promise nothing, and may fail.
  private func prepare(_ count: UInt64) {
    let now = bounds.withLock { $0 }
    guard now.durable > UInt64(headerLength), now.end - now.durable < Self.flushedOften,
      now.end + count > now.prepared
    else { return }
    let start = max(now.end, now.prepared)
    // Before it is tried: what fails half-way has left zeros too, and they are to be cut off.
    bounds.withLock { $0.prepared = start + Self.stride }
    try? file.file.write(Self.zeros, at: start)
  }

  private static let zeros = [UInt8](repeating: 0, count: Int(stride))

  /// Ends the file behind its records.
  func cut() throws(IOError) {
    try file.file.truncate(to: end)
    bounds.withLock { $0.prepared = 0 }
  }

  /// Whether the file has zeros behind its records.
  private var isPrepared: Bool { bounds.withLock { $0.prepared > $0.end } }

  /// Cuts off what was written ahead, if anything was.
  func cutPrepared() throws(IOError) { if isPrepared { try cut() } }

  /// Adds encoded records that the file has; from now on they are read.
  func add(_ headers: [RecordHeader], bytes: Int) {
    var entries: [RunEntry] = []
    entries.reserveCapacity(headers.count)
    var offset = end
    for header in headers {
      RunEntry.entries(of: header, segment: number, offset: offset, into: &entries)
      offset += UInt64(header.length)
    }
    index.add(entries)
    bounds.withLock { bounds in
      bounds.end += UInt64(bytes)
      bounds.recordCount += headers.count
      guard let last = headers.last else { return }
      (bounds.lastSequence, bounds.lastTime) = (last.sequence, last.time)
    }
  }

  /// Makes everything before `end` durable, once what is there is all in the file.
  func sync(upTo end: UInt64) throws(IOError) {
    try failure.withLock { failure throws(IOError) in
      if let failure { throw failure }
      guard durable < end else { return }
      try sync(&failure, upTo: end)
    }
  }

  /// Makes the whole file durable, with what lies behind its records.
  func syncAll() throws(IOError) {
    try failure.withLock { failure throws(IOError) in
      if let failure { throw failure }
      try sync(&failure, upTo: end)
    }
  }

  private func sync(_ failure: inout IOError?, upTo end: UInt64) throws(IOError) {
    do throws(IOError) { try file.file.sync() } catch {
      failure = error
      throw error
    }
    bounds.withLock { $0.durable = max($0.durable, end) }
  }
}
