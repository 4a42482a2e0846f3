import FileIO
import Foundation
import Support
import Synchronization
import Testing

@testable import Vault

/// A disk image in use on a file system that clones: pages of it are written all the time, and each clone
/// that an agent makes of it is kept, so that afterwards every recovery point can be compared with what
/// the disk was in its cycle.
final class LiveImage: Sendable {
  /// Pages at the disk's end that are written in turn, each with a number that counts up. So a clone is
  /// of one moment exactly if every page has the newest number that belongs to it.
  private static let counted = 256
  private static let pageSize = 4096

  private struct State {
    var isRunning = false
    var isOver = true
    var pages: UInt64 = 0
    /// The kept clones, by the cycle in their names.
    var clones: [UInt64: String] = [:]
  }

  let path: String
  let size: UInt64
  private let clones: String
  private let kept: String
  private let state = Mutex(State())
  private let seed: UInt64

  /// Makes a disk whose first half is full of random bytes; the rest of it is holes and zeros.
  init(_ name: String, on mount: LoopMount, size: UInt64, _ random: inout SeededGenerator) throws {
    (path, self.size, seed) = (mount.file("\(name).img"), size, random.next())
    (clones, kept) = (mount.file(".tidemark"), mount.file("kept-" + name))
    try File(path, .creating(permissions: 0o600)).truncate(to: size)
    try FileSystem.system.makeDirectory(kept)
    // Much faster than the tests' own generator, and as much the seed's.
    try Program.require(
      "bash", "-c",
      """
      openssl enc -aes-128-ctr -nosalt -pbkdf2 -pass "pass:$2" -in /dev/zero 2>/dev/null |
        dd of="$1" bs=1M count="$3" iflag=fullblock conv=notrunc status=none
      """, "fill", path, String(seed), String(size >> 21), seconds: 600)
    let zeros = [UInt8](repeating: 0, count: 1 << 20)
    try File(path, .writing).write(zeros, at: size / 4 * 3)
  }

  /// Bytes that are not zeros in the beginning, and those written since.
  var bytesWritten: UInt64 { size / 2 + state.withLock { $0.pages } * UInt64(Self.pageSize) }

  /// Begins to write, some hundred pages a second, and to keep clones.
  func start() throws {
    let file = try File(path, .writing)
    state.withLock { ($0.isRunning, $0.isOver) = (true, false) }
    final class Held: Sendable {
      let file: File
      init(_ file: consuming File) { self.file = file }
    }
    let held = Held(file)
    Thread.detachNewThread { [self] in
      var random = SeededGenerator(seed: seed)
      var count = state.withLock { $0.pages } / 2
      while state.withLock({ $0.isRunning }) {
        count += 1
        do {
          try write(count, to: held.file, &random)
          try keepClones()
        } catch {
          Issue.record("the live image '\(path)' can't be used: \(error)")
          break
        }
        state.withLock { $0.pages += 2 }
        usleep(4000)
      }
      state.withLock { $0.isOver = true }
    }
  }

  private func write(_ count: UInt64, to file: borrowing File, _ random: inout SeededGenerator)
    throws
  {
    let (page, counted) = (UInt64(Self.pageSize), UInt64(Self.counted))
    var bytes = random.bytes(512)
    bytes += [UInt8](repeating: UInt8(truncatingIfNeeded: count), count: Self.pageSize - 512)
    let first = size / page - counted
    try file.write(bytes, at: random.next() % first * page)
    for place in 0..<8 { bytes[place] = UInt8(truncatingIfNeeded: count >> UInt64(place * 8)) }
    try file.write(bytes, at: (first + count % counted) * page)
  }

  /// Ends the writing.
  func stop() {
    state.withLock { $0.isRunning = false }
    #expect(Program.poll(seconds: 30) { state.withLock { $0.isOver } })
  }

  /// Gives every clone that is there a second name, under which it outlives its use.
  func keepClones() throws {
    for name in (try? FileSystem.system.list(clones)) ?? [] {
      // MACHINE_diskN_CYCLE_after_CYCLE_at_NUMBER, written in full before it gets this name.
      let parts = name.split(separator: "_")
      guard parts.count == 7, let cycle = UInt64(parts[2], radix: 16), !name.hasSuffix(".new"),
        state.withLock({ $0.clones[cycle] == nil })
      else { continue }
      let copy = kept + "/" + name
      do { try FileManager.default.linkItem(atPath: clones + "/" + name, toPath: copy) } catch {
        // Gone already: then no recovery point was made of it, or it is missed below.
        continue
      }
      state.withLock { $0.clones[cycle] = copy }
    }
  }

  /// The clone of a cycle.
  func clone(of cycle: UInt64) -> String? { state.withLock { $0.clones[cycle] } }

  /// Whether a clone is of one moment, between two writes.
  func isOfOneMoment(_ clone: String) throws -> Bool {
    let counted = UInt64(Self.counted)
    let file = try File(clone, .reading)
    let first = size / UInt64(Self.pageSize) - counted
    var numbers: [UInt64] = []
    for page in 0..<counted {
      let bytes = try file.read(at: (first + page) * UInt64(Self.pageSize), count: 8)
      numbers.append(bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) })
    }
    let newest = numbers.max() ?? 0
    return numbers.indices.allSatisfy { index in
      let page = UInt64(index)
      // The newest number up to the newest of all that belongs on this page; 0 where there was none.
      let back = (newest + counted - page) % counted
      return numbers[index] == (newest > back ? newest - back : 0)
    }
  }

  /// Compares every recovery point of a machine with the clone of its cycle, and the newest one with the
  /// image, to which nobody may write any more; gives how many points there are.
  @discardableResult
  func compare(with machine: String, of tool: Tool) throws -> Int {
    let points = try Vault(opening: tool.vault).machine(named: machine).snapshot().points
    let mount = try VaultMount(tool)
    for point in points {
      let clone = try #require(
        self.clone(of: point.cycle), "\(point.id) is of a cycle without a clone")
      #expect(try isOfOneMoment(clone), "\(point.id)")
      let disk = mount.file(machine, point.id, "disk0.raw")
      let compared = try Program.run("cmp", clone, disk, seconds: 600)
      #expect(compared.status == 0, "\(point.id): \(compared.report)")
    }
    let last = mount.file(machine, try #require(points.last).id, "disk0.raw")
    try Program.require("cmp", path, last, seconds: 600)
    print("\(points.count) points are the disk of their cycle")
    return points.count
  }
}
