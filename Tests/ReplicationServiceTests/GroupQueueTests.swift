import Bytes
import FileIO
import Replication
import Support
import Testing

@testable import ReplicationService

/// Goal: what a relay has taken it still has after a crash, whatever the crash leaves, and nothing that it
/// finds in its files makes it trap or invent a group. Method: a disk that forgets and tears, and files with
/// changed bytes.
struct GroupQueueTests {
  private let machine = Identifier.random()

  private func session() -> CachedSession {
    CachedSession(
      vault: .random(), machine: machine, session: .random(), certificate: [1, 2, 3, 4])
  }

  private func queue(
    _ disk: SimulatedDisk, _ budget: CacheBudget = CacheBudget(limit: 1 << 30)
  ) throws -> GroupQueue {
    try GroupQueue(machine, in: "/cache", budget, on: disk.fileSystem)
  }

  private func number(_ value: Int) -> SequenceNumber { SequenceNumber(rawValue: UInt64(value)) }

  /// Everything in a queue, read back.
  private func contents(_ queue: GroupQueue) throws -> [SequenceNumber: [UInt8]] {
    var found: [SequenceNumber: [UInt8]] = [:]
    var last = SequenceNumber.zero
    while let group = queue.next(after: last) {
      found[group.last] = try queue.read(group)
      last = group.last
    }
    return found
  }

  @Test("whenever the power goes, every group that was synced and not dropped is found again")
  func crashes() throws {
    var random = SeededGenerator(for: "crashes of relays")
    for _ in 0..<Count.of("TIDEMARK_POWER_CUTS", normally: 60) / 2 {
      let disk = SimulatedDisk(seed: random.next())
      var (written, safe, dropped, last) = ([SequenceNumber: [UInt8]](), 0, 0, 0)
      disk.cutPower(after: random.number(0..<120))
      let session = session()
      do {
        let queue = try queue(disk)
        try queue.begin(session)
        for _ in 0..<25 {
          last += random.number(1..<5)
          let payload = random.bytes(random.number(1..<(random.once(in: 9) ? 9000 : 900)))
          written[number(last)] = payload
          try queue.append(number(last), cost: payload.count, payload, of: session)
          if random.once(in: 3) {
            try queue.sync()
            safe = last
          }
          if random.once(in: 4) {
            dropped = random.once(in: 3) ? last : random.number(dropped..<last + 1)
            queue.drop(through: number(dropped))
          }
        }
      } catch is CacheError {}
      disk.crash()
      let budget = CacheBudget(limit: 1 << 30)
      let found = try queue(disk, budget)
      let content = try contents(found)
      for (number, payload) in written
      where number.rawValue > UInt64(dropped) && number.rawValue <= UInt64(safe) {
        #expect(content[number] == payload, "\(number), dropped \(dropped)")
      }
      for (number, payload) in content { #expect(written[number] == payload) }
      if !content.isEmpty { #expect(found.session == session) }
      #expect(budget.usedBytes == found.pendingBytes)
    }
  }

  @Test("groups come back in order, files that are done with go, and room is given back")
  func order() throws {
    let disk = SimulatedDisk(seed: 1)
    let budget = CacheBudget(limit: 64 << 20)
    let queue = try queue(disk, budget)
    let session = session()
    try queue.begin(session)
    for last in 1...30 {
      let payload = [UInt8](repeating: UInt8(last), count: 1 << 20)
      #expect(budget.take(UInt64(payload.count), within: .zero))
      try queue.append(number(last), cost: payload.count, payload, of: session)
    }
    let files = disk.tree.count { $0.path.hasSuffix(".groups") }
    #expect(files > 2 && budget.usedBytes == 30 << 20 && !budget.isScarce)
    #expect(!budget.take(40 << 20, within: .milliseconds(20)))
    queue.drop(through: number(29))
    #expect(disk.tree.count { $0.path.hasSuffix(".groups") } == 1)
    #expect(budget.usedBytes == 1 << 20 && queue.next(after: .zero)?.last == number(30))
    queue.drop(through: number(30))
    #expect(queue.isEmpty && budget.usedBytes == 0)
    // An open file with nothing to keep does not grow for ever.
    for last in 31...60 {
      try queue.append(
        number(last), cost: 1, [UInt8](repeating: 1, count: 1 << 20), of: session)
      queue.drop(through: number(last))
    }
    #expect(try disk.fileSystem.status("/cache/3.groups").size < 4 << 20)
    #expect(try queue.clear() == 0)
    #expect(disk.tree.allSatisfy { !$0.path.hasSuffix(".groups") })
  }

  @Test("a full disk and a sync that fails are errors, and what was taken before stays")
  func failures() throws {
    let disk = SimulatedDisk(seed: 3)
    let queue = try queue(disk)
    let session = session()
    try queue.begin(session)
    try queue.append(number(1), cost: 1, [7, 7, 7], of: session)
    try queue.sync()
    disk.setCapacity(1)
    #expect {
      try queue.append(number(2), cost: 1, [UInt8](repeating: 1, count: 300_000), of: session)
    } throws: {
      ($0 as? CacheError)?.code == .full
    }
    disk.setCapacity(nil)
    disk.failSyncs(1)
    #expect {
      try queue.append(number(3), cost: 1, [8], of: session)
      try queue.sync()
    } throws: {
      ($0 as? CacheError)?.code == .io
    }
    disk.crash()
    let again = try self.queue(disk)
    #expect(try contents(again)[number(1)] == [7, 7, 7])
  }

  @Test("a thread of a session that is over adds nothing to the next one's groups")
  func late() throws {
    let disk = SimulatedDisk(seed: 4)
    let queue = try queue(disk)
    let (old, new) = (session(), session())
    try queue.begin(old)
    try queue.append(number(1), cost: 1, [1], of: old)
    try queue.begin(new)
    #expect { try queue.append(number(2), cost: 1, [2], of: old) } throws: {
      ($0 as? CacheError)?.code == .over
    }
    try queue.append(number(3), cost: 1, [3], of: new)
    try queue.sync()
    disk.crash()
    let again = try self.queue(disk)
    #expect(try contents(again) == [number(3): [3]] && again.session == new)
  }

  @Test("files with any byte changed, cut off or made up give whole groups or none, and never trap")
  func hostile() throws {
    var random = SeededGenerator(for: "hostile caches")
    let disk = SimulatedDisk(seed: 5)
    let first = try queue(disk)
    let session = session()
    try first.begin(session)
    var taken: [SequenceNumber: [UInt8]] = [:]
    for last in 1...4 {
      taken[number(last)] = random.bytes(random.number(1..<300))
      try first.append(number(last), cost: 9, taken[number(last)] ?? [], of: session)
    }
    let bytes = try disk.fileSystem.readFile("/cache/0.groups", limit: 1 << 20)
    for _ in 0..<Count.of("TIDEMARK_FUZZ", normally: 3000) / 12 {
      var bad = bytes
      switch random.number(0..<4) {
      case 0: bad = Array(bad.prefix(random.number(0..<bad.count)))
      case 1: bad[random.number(0..<bad.count)] ^= UInt8(random.number(1..<256))
      case 2: bad = random.bytes(random.number(0..<400))
      default: bad += bad.suffix(random.number(1..<bad.count))
      }
      let disk = SimulatedDisk(seed: 6)
      try disk.fileSystem.makeDirectory("/cache", permissions: 0o700)
      try File("/cache/0.groups", .creating(permissions: 0o600), on: disk.fileSystem)
        .write(bad, at: 0)
      for (number, payload) in try contents(try queue(disk)) {
        #expect(taken[number] == payload)
      }
    }
  }
}
