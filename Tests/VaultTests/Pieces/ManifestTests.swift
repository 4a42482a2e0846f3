import Bytes
import FileIO
import Support
import Testing

@testable import Vault

/// Goal: what a MANIFEST says is what its whole transactions say; a torn end does not count, damage
/// before it is told. Method: a MANIFEST of every kind of entry, cut, torn and flipped at every place.
struct ManifestTests {
  let identity = LogIdentity(
    vault: Identifier(high: 1, low: 2), machine: Identifier(high: 3, low: 4))
  let configuration = MachineConfiguration(
    name: "web01", operatingSystem: .windows,
    disks: [
      DiskConfiguration(number: 0, path: "/a", capture: .scan, format: .raw),
      DiskConfiguration(number: 9, path: "/b", capture: .reflink, format: .vhd),
    ])

  private func point(_ sequence: UInt64, label: String? = nil) -> RecoveryPoint {
    NewPoint(
      kind: .application, consistency: .perDisk, sourceWatched: false, label: label, cycle: 77,
      disks: [PointDisk(number: 0, size: 512), PointDisk(number: 9, size: 1 << 40)],
      time: Timestamp(seconds: Int64(sequence))
    ).point(
      sequence: SequenceNumber(rawValue: sequence), time: Timestamp(seconds: Int64(sequence)),
      among: [])
  }

  private func run(_ kind: LogFileName.Kind, _ number: UInt32) throws -> RunSet {
    try #require(
      RunSet([
        RunDescription(
          file: LogFileName(kind, number), base: 4096, entryPages: 1, fencePages: 1,
          entryCount: 3, levels: 6, oldest: 1, newest: UInt64(number),
          firstKey: BlockKey(rawValue: 5), lastKey: BlockKey(rawValue: 9))
      ]))
  }

  private static func number(_ value: UInt64) -> SequenceNumber { SequenceNumber(rawValue: value) }

  private func pin(_ id: UInt64, _ purpose: BranchPurpose) -> BranchPin {
    BranchPin(
      branch: Identifier(high: 9, low: id), cut: Self.number(12), purpose: purpose,
      isCommitted: purpose == .failover)
  }

  private var branch: BranchDescription {
    BranchDescription(
      id: Identifier(high: 5, low: 6), machine: identity.machine, cut: Self.number(12),
      position: LogPosition(
        sequence: Self.number(60), time: Timestamp(seconds: 31), hint: RecordHint()), epoch: 3,
      epochStart: Self.number(59), purpose: .failover,
      name: "harbour", created: Timestamp(seconds: 70), budget: 1 << 33,
      disks: [PointDisk(number: 0, size: 512)])
  }

  /// Every kind of entry, in transactions.
  private func transactions() throws -> [[ManifestEntry]] {
    let sealed = ManifestEntry.SealedSegment(
      number: 1, recordsEnd: 9000, lastSequence: SequenceNumber(rawValue: 30),
      lastTime: Timestamp(seconds: 30), disks: [PointDisk(number: 0, size: 512)])
    let branching = Branching(
      kind: .incarnation, number: 2, first: SequenceNumber(rawValue: 50),
      parent: SequenceNumber(rawValue: 30))
    return [
      [.configuration(configuration)],
      [.segmentOpened(number: 1, headerLength: 192, firstSequence: SequenceNumber(rawValue: 1))],
      [.segmentVouched(number: 1, end: 5000)],
      [.segmentSealed(sealed), .runAdded(try run(.segment, 1))]
        + (10..<30).map { .point(point(UInt64($0), label: $0 == 12 ? "twelve" : nil)) },
      [.runAdded(try run(.run, 2)), .runsRetired([LogFileName(.segment, 1)])],
      [.pointLocked(SequenceNumber(rawValue: 12), true), .branching(branching)],
      [
        .pointsRemoved([Self.number(14)...Self.number(16), Self.number(20)...Self.number(60)]),
        .pinned(pin(7, .drill)), .pinned(pin(8, .failover)),
        .pinReleased(branch: pin(7, .drill).branch),
        .branch(branch), .rebuilt(formerLength: 77),
      ],
    ]
  }

  /// The bytes of the transactions, and where each ends.
  private func encode(
    _ transactions: [[ManifestEntry]], flags: UInt16 = 0
  ) -> (bytes: [UInt8], ends: [Int]) {
    var bytes = Manifest.header(identity)
    var ends: [Int] = []
    for (index, entries) in transactions.enumerated() {
      for (place, entry) in entries.enumerated() {
        let last = place == entries.count - 1 ? Manifest.endsTransaction : 0
        bytes += Manifest.encode(
          entry, flags: last | flags, generation: UInt64(index + 1), at: UInt64(bytes.count),
          identity: identity)
      }
      ends.append(bytes.count)
    }
    return (bytes, ends)
  }

  private func parse(_ bytes: [UInt8]) throws(VaultError) -> Manifest {
    var bytes = bytes
    return try Manifest.parse(&bytes, path: "MANIFEST", identity: identity)
  }

  @Test("every entry comes back as it was written")
  func roundTrip() throws {
    let (bytes, _) = encode(try transactions())
    let state = try parse(bytes).state
    #expect(state.configuration == configuration)
    #expect(state.generation == 7)
    let left = [10, 11, 12, 13, 17, 18, 19] as [UInt64]
    #expect(state.points == left.map { point($0, label: $0 == 12 ? "twelve" : nil) })
    #expect(state.newestPoint == Self.number(29))
    #expect(state.isRemoved(point(60)) && !state.isRemoved(point(61)))
    #expect(state.pins == [pin(8, .failover)])
    #expect(state.branch == branch)
    #expect(state.runs == [try run(.run, 2)])
    #expect(state.lockedPoints == [SequenceNumber(rawValue: 12)])
    #expect(state.branchings.map(\.first.rawValue) == [50])
    #expect(state.segments.map(\.vouched) == [5000])
    #expect(state.segments.map { $0.sealed?.recordsEnd } == [9000])
    #expect(state.openSegment == nil)
    #expect(state.files == [LogFileName(.segment, 1), LogFileName(.run, 2)])
    #expect(state.nextFile == 3)
  }

  @Test("cut anywhere, it says what its whole transactions say")
  func cutAnywhere() throws {
    let (bytes, ends) = encode(try transactions())
    for length in 0..<bytes.count {
      let whole = ends.lastIndex { $0 <= length }
      do {
        let manifest = try parse(Array(bytes[..<length]))
        let last = try #require(whole)
        #expect(manifest.state.generation == UInt64(last + 1))
        #expect(manifest.length == UInt64(ends[last]))
        #expect(manifest.tail == UInt64(length - ends[last]))
      } catch {
        #expect(whole == nil, "\(error)")
        #expect((error as? VaultError)?.code == .damaged)
      }
    }
  }

  @Test("of the newest transaction any sectors may be missing; then it does not count")
  func tornTransaction() throws {
    var random = SeededGenerator(for: "torn transactions")
    let (bytes, ends) = encode(Array(try transactions().prefix(4)))
    let start = ends[2]
    for _ in 0..<300 {
      var torn = bytes
      var isTorn = false
      for sector in start / 512...(bytes.count - 1) / 512 where random.once(in: 2) {
        let range = max(start, sector * 512)..<min(bytes.count, (sector + 1) * 512)
        torn.replaceSubrange(range, with: repeatElement(0, count: range.count))
        isTorn = true
      }
      let manifest = try parse(torn)
      #expect(manifest.state.generation == (isTorn ? 3 : 4))
      #expect(manifest.state.points.isEmpty == isTorn)
    }
  }

  @Test("a bad entry that a later transaction follows is damage")
  func damage() throws {
    let (bytes, ends) = encode(try transactions())
    for (index, end) in ends.enumerated().dropLast() {
      var damaged = bytes
      let start = index == 0 ? Manifest.headerSize : ends[index - 1]
      for place in [start + 4, (start + end) / 2] { damaged[place] ^= 0xFF }
      #expect { try parse(damaged) } throws: { ($0 as? VaultError)?.code == .damaged }
    }
  }

  @Test("any single flipped bit is put right")
  func flippedBits() throws {
    let (bytes, _) = encode(try transactions())
    let expected = try parse(bytes)
    for bit in 0..<bytes.count * 8 where bit % 7 == 0 || bit < 8 * 200 {
      var flipped = bytes
      flipped[bit / 8] ^= 1 << UInt8(bit % 8)
      let manifest = try Manifest.parse(&flipped, path: "MANIFEST", identity: identity)
      #expect(flipped == bytes)
      #expect(manifest.repaired.count == 1)
      #expect(manifest.length == expected.length)
      #expect(manifest.checksum == expected.checksum)
      #expect(manifest.state.points == expected.state.points)
    }
  }

  @Test("a newer version, and an entry only a newer version knows, are refused as that")
  func newerVersion() throws {
    var writer = ByteWriter()
    writer.append(contentsOf: Manifest.header(identity)[..<4])
    writer.integer(UInt32(Format.version) + 1)
    writer.zeros(120)
    #expect { try parse(writer.bytes) } throws: { ($0 as? VaultError)?.code == .newerVersion }

    var bytes = encode([[.configuration(configuration)]]).bytes
    let known = bytes.count
    func unknown(_ flags: UInt16) -> [UInt8] {
      var entry = ByteWriter()
      entry.integer(UInt32(40))
      entry.integer(UInt32(8))
      entry.integer(UInt16(999))
      entry.integer(flags)
      entry.integer(Manifest.entryMagic)
      entry.integer(UInt64(2))
      entry.zeros(16)
      entry.replace(
        at: 24,
        with: entry.bytes.withUnsafeBytes { Manifest.checksum($0, at: UInt64(known), identity) })
      return entry.bytes
    }
    #expect { try parse(bytes + unknown(Manifest.endsTransaction)) } throws: {
      ($0 as? VaultError)?.code == .newerVersion
    }
    bytes += unknown(Manifest.endsTransaction | Manifest.mayBeIgnored)
    #expect(try parse(bytes).state.generation == 2)
  }

  @Test("a MANIFEST of another machine is not taken for this one's")
  func otherMachine() throws {
    let other = LogIdentity(
      vault: Identifier(high: 1, low: 2), machine: Identifier(high: 3, low: 5))
    var bytes = encode(try transactions()).bytes
    #expect(throws: VaultError.self) {
      _ = try Manifest.parse(&bytes, path: "MANIFEST", identity: other)
    }
  }
}
