internal import Bytes
internal import Capture
internal import FileIO
internal import Replication
internal import Vault

/// A cycle's target in the vault of a service elsewhere.
///
/// Records are encoded here and gathered into groups, each of which the service makes durable at once;
/// a few are on their way at a time.
final class RemoteTarget: CaptureTarget {
  /// Records of a group that is sent without a reason: large enough that its fdatasync and signature
  /// weigh little, small enough that several are on their way.
  private static let groupSize = 1 << 20

  private let session: ServiceSession
  private let stream: RecordStream
  private let digests: DigestDirectory
  private var replicas: [DigestReplica] = []
  private var formers: [FormerPages] = []
  private var records: [UInt8] = []
  /// The newest number in `records`.
  private var last = SequenceNumber.zero
  /// The newest number that belongs to a recovery point or begins an incarnation.
  private var settled: SequenceNumber
  private var sizes: [DiskNumber: UInt64]
  /// Disks of which the log holds nothing yet, and of which the agent keeps clones.
  private var empty: Set<DiskNumber> = []

  private(set) var cycle: UInt64?
  private(set) var storedBytes: UInt64 = 0

  /// Goes on where the session's welcome says; `digests` is what this agent has kept, `disks` what it is
  /// to send.
  init(_ session: ServiceSession, digests: DigestDirectory, disks: [DiskConfiguration]) {
    let welcome = session.welcome
    (self.session, self.digests) = (session, digests)
    stream = RecordStream(
      vault: welcome.vault, machine: welcome.machine, codec: welcome.codec,
      position: welcome.position)
    cycle = welcome.cycle
    settled = welcome.hasUnmarkedWrites ? .zero : welcome.position.sequence
    cursor = welcome.hasCursor ? welcome.position.newest : nil
    sizes = [:]
    for disk in welcome.disks { sizes[disk.number] = disk.size }
    if cycle == nil, !hasUnmarkedWrites {
      empty = Set(disks.filter { $0.capture == .reflink }.map(\.number))
    }
  }

  var hasUnmarkedWrites: Bool { stream.position.sequence > settled }
  var newestNumber: SequenceNumber { stream.position.sequence }
  private(set) var cursor: (disk: DiskNumber, blocks: Range<UInt64>)?

  var recordTime: Timestamp? {
    get { stream.recordTime }
    set { stream.recordTime = newValue }
  }

  /// How long compressing has taken so far.
  var compressing: Duration { stream.encodingTime }

  /// Whether this agent has the digests of a disk's blocks as of the log's newest number.
  func hasDigests(of disk: DiskNumber, size: UInt64) throws(AgentError) -> Bool {
    try digests.open(disk, size: size).isOf(stream.position.sequence)
  }

  func lastSize(of disk: DiskNumber) -> UInt64? { sizes[disk] }

  func replica(
    of disk: DiskNumber, size: UInt64, base: (any DiskContent)?
  ) throws(CaptureError) -> any Replica {
    if let base, session.assignment.state != .resynchronising {
      let former = try inSession { () throws(AgentError) in try digests.former(disk) }
      formers.append(former)
      return RecallingReplica(disk: disk, content: base, former: former)
    }
    // The clone will tell what changes from now on: digests would only cost time.
    if empty.remove(disk) != nil { return EmptyReplica() }
    let replica = try inSession { () throws(AgentError) in
      let file = try digests.open(disk, size: size)
      let former = try digests.former(disk, salt: file.salt)
      formers.append(former)
      return try DigestReplica(
        disk: disk, size: size, position: stream.position, session: session, file: file,
        former: former)
    }
    replicas.append(replica)
    return replica
  }

  func write(
    disk: DiskNumber, block: UInt64, bytes: UnsafeRawBufferPointer, pages: UInt16
  ) throws(CaptureError) {
    try encode { () throws(VaultError) in
      try stream.write(disk: disk, block: block, bytes: bytes, pages: pages)
    }
  }

  func zero(disk: DiskNumber, firstBlock: UInt64, count: UInt64) throws(CaptureError) {
    try encode { () throws(VaultError) in
      try stream.zero(disk: disk, firstBlock: firstBlock, count: count)
    }
    for replica in replicas where replica.disk == disk {
      try inSession { () throws(AgentError) in try replica.noteZeros(firstBlock, count) }
    }
  }

  func commit() throws(CaptureError) {
    try inSession { () throws(AgentError) in
      try drain()
      if !records.isEmpty { try send(.commit) }
      _ = try session.wait(for: last)
    }
  }

  func abandonUnmarked() throws(CaptureError) {
    guard hasUnmarkedWrites else { return }
    try commit()
    try inSession { () throws(AgentError) in
      stream.passBranching()
      last = stream.position.sequence
      try send(.abandon)
      _ = try session.wait(for: last)
      settled = last
      cursor = nil
    }
  }

  func mark(_ new: NewPoint) throws(CaptureError) -> RecoveryPoint {
    try checkReturned()
    return try inSession { () throws(AgentError) in
      try drain()
      stream.passMark(at: new.time)
      last = stream.position.sequence
      try send(.mark(new))
      guard let made = try session.wait(for: last) else {
        throw AgentError(
          .protocolBroken, "The service stored number \(last), and says of no recovery point.")
      }
      for replica in replicas { try replica.settle(at: last) }
      (settled, cycle, cursor) = (last, new.cycle, nil)
      for disk in new.disks { sizes[disk.number] = disk.size }
      for former in formers { try former.settle() }
      (replicas, formers) = ([], [])
      empty = []
      return RecoveryPoint(
        new, sequence: made.sequence, time: made.time, ordinal: made.ordinal)
    }
  }

  /// A point of a disk that was put back is made once everything was compared.
  private func checkReturned() throws(CaptureError) {
    guard cycle != nil, session.assignment.state != .resynchronising else { return }
    for former in formers {
      guard let (returned, changed) = former.evidence else { continue }
      throw CaptureError(
        reverted:
          "Disk \(former.disk) was put back to an older state: of \(changed) pages that changed "
          + "since the last recovery point, \(returned) hold what they held before.")
    }
  }

  private func encode(_ body: () throws(VaultError) -> Void) throws(CaptureError) {
    do throws(VaultError) { try body() } catch { throw CaptureError(session: error.message) }
    guard stream.isFull else { return }
    try inSession { () throws(AgentError) in
      try stream.advance { (sequence, record) throws(AgentError) in try add(sequence, record) }
    }
  }

  /// Encodes what waits, and sends groups that are large enough.
  private func drain() throws(AgentError) {
    try stream.drain { (sequence, record) throws(AgentError) in try add(sequence, record) }
  }

  private func add(
    _ sequence: SequenceNumber, _ record: UnsafeRawBufferPointer
  ) throws(AgentError) {
    if records.count + record.count > Group.recordLimit { try send(.commit) }
    records.append(contentsOf: record)
    last = sequence
    if records.count >= Self.groupSize { try send(.commit) }
  }

  private func send(_ end: Group.End) throws(AgentError) {
    storedBytes += UInt64(records.count)
    try session.send(Group(last: last, end: end, records: records))
    // Only now nobody else holds them, and their memory can be used again.
    records.removeAll(keepingCapacity: true)
  }
}

/// Runs `body` and turns the agent's failure into one of the cycle.
func inSession<Result>(_ body: () throws(AgentError) -> Result) throws(CaptureError) -> Result {
  do { return try body() } catch { throw CaptureError(session: error.message) }
}
