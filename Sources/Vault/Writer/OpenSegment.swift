internal import Bytes
internal import FileIO

/// The segment that records are added to.
///
/// Records are kept in memory from when they are added until the fdatasync that makes them durable has
/// returned: should it fail, they are written to another segment, never to this one again.
final class OpenSegment {
  let number: UInt32
  let headerLength: UInt32
  private let shared: LogFile
  /// The index of all its records, in the order they were added.
  private(set) var entries: [RunEntry] = []
  /// The recovery points in it, with the offsets of their marks.
  private(set) var points: [(point: RecoveryPoint, offset: UInt64)] = []
  private(set) var recordCount = 0
  /// Everything before this is durable.
  private(set) var durable: UInt64
  /// Records behind `durable`.
  private(set) var unacknowledged: [UInt8] = []
  /// How many bytes of `unacknowledged` the file has.
  private var written = 0

  /// A new segment that has its header.
  init(_ header: SegmentHeader, file: LogFile) {
    (number, headerLength) = (header.number, header.length)
    shared = file
    durable = UInt64(headerLength)
  }

  /// A segment of which `replay` told what it holds, durable for certain up to `durable`.
  init(
    number: UInt32, headerLength: UInt32, file: LogFile, replay: SegmentReplay, durable: UInt64
  ) {
    (self.number, self.headerLength) = (number, headerLength)
    shared = file
    self.durable = durable
    (entries, recordCount) = (replay.entries, replay.recordCount)
    points = replay.points.map { ($0, replay.offsets[$0.sequence] ?? durable) }
  }

  /// Takes over the encoded records behind `durable`, which the index knows already.
  func addAgain(_ records: [UInt8]) { unacknowledged += records }

  /// Writes the segment's own run behind its records and makes it durable.
  func append(
    _ run: (borrowing File) throws(IOError) -> RunDescription
  ) throws(IOError) -> RunDescription {
    let written = try run(shared.file)
    try shared.file.sync()
    return written
  }

  /// Where the next record goes.
  var end: UInt64 { durable + UInt64(unacknowledged.count) }

  /// Whether it is time to seal it.
  func isFull(_ limits: LogLimits) -> Bool {
    end >= limits.segmentSize || recordCount >= limits.segmentRecords
      || entries.count >= limits.segmentEntries
  }

  /// Adds a record; `point` is what a mark record makes.
  func add(_ header: RecordHeader, _ record: UnsafeRawBufferPointer, point: RecoveryPoint? = nil) {
    RunEntry.entries(of: header, segment: number, offset: end, into: &entries)
    if let point { points.append((point, end)) }
    unacknowledged.append(contentsOf: record)
    recordCount += 1
  }

  /// Hands what the file has not got yet to it; not durable.
  func write() throws(IOError) {
    guard written < unacknowledged.count else { return }
    var failure: IOError?
    unacknowledged.withUnsafeBytes { bytes in
      let fresh = UnsafeRawBufferPointer(rebasing: bytes[written...])
      do throws(IOError) {
        try shared.file.write(fresh, at: durable + UInt64(written))
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    written = unacknowledged.count
  }

  /// Lets the disk begin with what was added, ahead of the `sync` that waits for it and that tells of
  /// any failure.
  func writeAhead() {
    let start = durable + UInt64(written)
    guard (try? write()) != nil, start < end else { return }
    shared.file.beginWriteback(start..<end)
  }

  /// Makes everything added so far durable.
  func sync() throws(IOError) {
    try write()
    try shared.file.sync()
    durable = end
    unacknowledged.removeAll(keepingCapacity: true)
    written = 0
  }

  /// What belongs to the durable part.
  var durableEntries: [RunEntry] { entries.filter { UInt64($0.offset) < durable } }
  var durablePoints: [RecoveryPoint] { points.filter { $0.offset < durable }.map(\.point) }
}
