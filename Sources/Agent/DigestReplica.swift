internal import Bytes
internal import Capture
internal import Dispatch
internal import Replication
internal import Vault

/// A replica that is known by the digests of its blocks: the agent's own, where they are of the log's
/// newest number, or else the service's. Which pages of an unequal block differ, the service is asked.
///
/// The service is asked for digests as the comparison comes to them, which goes up the disk, so that what
/// was stored in between changes none that is still to be asked for. Blocks that are passed over stay
/// unknown.
///
/// What that costs: 17 bytes for each block that is looked at, 1/3855 of it, and 272 for each unequal
/// block, which is at most a fifteenth of the pages that are sent for it.
final class DigestReplica: Replica {
  let disk: DiskNumber
  private let size: UInt64
  private let file: DigestFile
  private let session: ServiceSession
  private let former: FormerPages
  /// The service has been asked for the digests of the blocks before this one.
  private var learned = UInt64.max

  /// Uses what `file` keeps of the disk if that is of `position`, else asks for it.
  init(
    disk: DiskNumber, size: UInt64, position: LogPosition, session: ServiceSession,
    file: DigestFile, former: FormerPages
  ) throws(AgentError) {
    (self.disk, self.size, self.session) = (disk, size, session)
    (self.file, self.former) = (file, former)
    let isDoubtful = session.assignment.state == .resynchronising
    guard !file.isOf(position.sequence) || isDoubtful else { return }
    try file.forget()
    // A log that holds nothing yet has a replica of zeros.
    guard position.sequence > .zero else { return }
    learned = 0
  }

  /// Asks for the digests of a range that nobody asked for yet, and of what follows it soon.
  private func learn(_ range: Range<UInt64>) throws(AgentError) {
    let blocks = (size + UInt64(Layout.blockSize) - 1) / UInt64(Layout.blockSize)
    if learned < range.lowerBound {
      try file.fill(learned..<range.lowerBound, with: .unknown)
      learned = range.lowerBound
    }
    while learned < min(range.upperBound, blocks) {
      let first = learned
      let end = min(blocks, first + UInt64(BlockQuery.limit))
      let answer = try session.ask(
        BlockQuery(disk: disk, size: size, blocks: first..<end, salt: file.salt))
      guard answer.digests.count == Int(end - first) else {
        throw AgentError(.protocolBroken, "The service answered a question with too few digests.")
      }
      try file.write(answer.digests.map { $0.map(file.entry) ?? .unknown }, at: first)
      learned = end
    }
  }

  func firstData(in range: Range<UInt64>) throws(CaptureError) -> UInt64? {
    let block = UInt64(Layout.blockSize)
    let end = (range.upperBound + block - 1) / block
    let found = try inSession { () throws(AgentError) in
      try learn(range.lowerBound / block..<end)
      return try file.firstOther(than: .zeros, in: range.lowerBound / block..<end)
    }
    return found.map { max(range.lowerBound, $0 * block) }
  }

  func differing(_ window: Window) throws(CaptureError) -> [UInt16] {
    try inSession { () throws(AgentError) in
      let first = window.base / UInt64(Layout.blockSize)
      try learn(first..<first + UInt64(Window.blocks))
      let known = try file.read(first..<first + UInt64(Window.blocks))
      let found = digest(window)
      var masks = [UInt16](repeating: 0, count: Window.blocks)
      var unequal: [Int] = []
      for block in 0..<Window.blocks where window.pages[block] != 0 {
        // Two blocks of which nothing is known are not equal.
        if found[block] == known[block], found[block] != .unknown { continue }
        if known[block] == .zeros {
          masks[block] = window.pagesWithData(of: block) & window.pages[block]
        } else {
          unequal.append(block)
        }
      }
      try ask(unequal, of: window, &masks)
      // What is told to differ is stored next; the digests count from the next recovery point on.
      let entries = (0..<Window.blocks).map { window.pages[$0] == 0 ? known[$0] : found[$0] }
      if entries != known { try file.write(entries, at: first) }
      return masks
    }
  }

  private func ask(
    _ blocks: [Int], of window: Window, _ masks: inout [UInt16]
  ) throws(AgentError) {
    guard !blocks.isEmpty else { return }
    let numbers = blocks.map { window.start(of: $0) / UInt64(Layout.blockSize) }
    let answer = try session.ask(
      PageQuery(disk: disk, size: size, blocks: numbers, salt: file.salt)
    ).digests
    guard answer.count == blocks.count * Layout.pagesPerBlock else {
      throw AgentError(.protocolBroken, "The service answered a question with too few digests.")
    }
    for (place, block) in blocks.enumerated() {
      let bytes = window.block(block)
      for page in 0..<Layout.pagesPerBlock where window.pages[block] & 1 << UInt16(page) != 0 {
        let start = page * Layout.pageSize
        let ours = ContentDigest(
          of: UnsafeRawBufferPointer(rebasing: bytes[start..<start + Layout.pageSize]),
          salt: file.salt)
        let theirs = answer[place * Layout.pagesPerBlock + page]
        guard ours != theirs else { continue }
        masks[block] |= 1 << UInt16(page)
        let number = window.start(of: block) / UInt64(Layout.pageSize) + UInt64(page)
        former.note(page: number, from: theirs, to: ours)
      }
    }
  }

  /// The entries of a window's blocks, made on all cores.
  private func digest(_ window: Window) -> [DigestFile.Entry] {
    var found = [DigestFile.Entry](repeating: .unknown, count: Window.blocks)
    let (file, size) = (file, size)
    found.withUnsafeMutableBufferPointer { found in
      // Each iteration has its own place.
      nonisolated(unsafe) let found = found
      DispatchQueue.concurrentPerform(iterations: Window.blocks) { block in
        found[block] = Self.entry(of: block, window, file, size: size)
      }
    }
    return found
  }

  /// The entry of one block; unknown unless all of it was read.
  private static func entry(
    of block: Int, _ window: Window, _ file: DigestFile, size: UInt64
  ) -> DigestFile.Entry {
    let bytes = window.block(block)
    let start = window.start(of: block)
    if window.pages[block] == .max {
      return bytes.isZero ? .zeros : file.entry(ContentDigest(of: bytes, salt: file.salt))
    }
    // The last block: what lies behind the disk's end counts as zeros.
    guard start < size, size - start < UInt64(Layout.blockSize) else { return .unknown }
    let pages = (Int(size - start) + Layout.pageSize - 1) / Layout.pageSize
    guard window.pages[block] == UInt16.max >> UInt16(Layout.pagesPerBlock - pages) else {
      return .unknown
    }
    var whole = Array(bytes[..<(pages * Layout.pageSize)])
    whole += [UInt8](repeating: 0, count: Layout.blockSize - whole.count)
    return whole.withUnsafeBytes { bytes in
      bytes.isZero ? .zeros : file.entry(ContentDigest(of: bytes, salt: file.salt))
    }
  }

  /// Notes that blocks are stored as zeros.
  func noteZeros(_ first: UInt64, _ count: UInt64) throws(AgentError) {
    try file.fill(first..<first + count, with: .zeros)
  }

  /// Notes that the digests are of `number`, the newest of the log, and makes them durable.
  func settle(at number: SequenceNumber) throws(AgentError) {
    let blocks = (size + UInt64(Layout.blockSize) - 1) / UInt64(Layout.blockSize)
    if learned < blocks { try file.fill(learned..<blocks, with: .unknown) }
    try file.settle(at: number)
  }
}
