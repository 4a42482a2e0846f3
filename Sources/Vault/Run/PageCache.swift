/// The index pages last used, at most so many bytes of them.
///
/// Set-associative with eight ways; a page is looked at under the lock of its stripe, which readers
/// share, and which is held for one binary search and never for input or output. Safe from any thread.
final class PageCache: Sendable {
  private static let ways = 8
  private static let stripeCount = 64

  /// One of 64 independent parts, its own lock in front.
  private final class Stripe: Sendable {
    private struct State {
      /// (run id, page) + 1 of each slot; 0 for an empty one.
      var tags: [UInt64]
      var next: [UInt8]
    }

    private let state: Shared<State>
    /// Guarded by `state`. Untouched pages take no memory.
    nonisolated(unsafe) private let pages: UnsafeMutableRawPointer
    private let sets: Int

    init(sets: Int) {
      self.sets = sets
      state = Shared(
        State(
          tags: Array(repeating: 0, count: sets * ways), next: Array(repeating: 0, count: sets)))
      pages = .allocate(byteCount: sets * ways * Format.indexPageSize, alignment: 4096)
    }

    deinit { pages.deallocate() }

    @inline(__always)
    private func bytes(_ slot: Int) -> UnsafeMutableRawBufferPointer {
      UnsafeMutableRawBufferPointer(
        start: pages + slot * Format.indexPageSize, count: Format.indexPageSize)
    }

    func find<Result>(
      _ tag: UInt64, _ hash: UInt64, _ body: (UnsafeRawBufferPointer) -> Result
    ) -> Result? {
      let first = Int(hash % UInt64(sets)) * ways
      return state.read { state in
        for slot in first..<first + ways where state.pointee.tags[slot] == tag {
          return body(UnsafeRawBufferPointer(bytes(slot)))
        }
        return nil
      }
    }

    func removeAll() {
      state.change { state in
        for slot in state.tags.indices { state.tags[slot] = 0 }
      }
    }

    func insert(_ tag: UInt64, _ hash: UInt64, _ content: UnsafeRawBufferPointer) {
      let set = Int(hash % UInt64(sets))
      state.change { state in
        guard !state.tags[set * ways..<(set + 1) * ways].contains(tag) else { return }
        let slot = set * ways + Int(state.next[set])
        state.next[set] = (state.next[set] + 1) % UInt8(ways)
        state.tags[slot] = tag
        bytes(slot).copyMemory(from: content)
      }
    }
  }

  /// Forgets all pages: those that were damaged since they were read are found to be.
  func removeAll() { for stripe in stripes { stripe.removeAll() } }

  private let stripes: [Stripe]

  /// A cache of at most `byteCount` bytes (at least 2 MiB).
  init(byteCount: Int) {
    let perSet = Self.ways * Format.indexPageSize
    let sets = max(1, byteCount / perSet / Self.stripeCount)
    stripes = (0..<Self.stripeCount).map { _ in Stripe(sets: sets) }
  }

  @inline(__always)
  private static func address(_ run: UInt32, _ page: UInt32) -> (tag: UInt64, hash: UInt64) {
    let tag = (UInt64(run) << 32 | UInt64(page)) &+ 1
    let hash = tag &* 0x9E37_79B9_7F4A_7C15
    return (tag, hash ^ hash >> 29)
  }

  /// Looks at a page if it is here.
  @inline(__always)
  func find<Result>(
    run: UInt32, page: UInt32, _ body: (UnsafeRawBufferPointer) -> Result
  ) -> Result? {
    let (tag, hash) = Self.address(run, page)
    return stripes[Int(hash >> 58)].find(tag, hash & 0xFFFF_FFFF, body)
  }

  /// Keeps a page, in the place of one of eight others.
  func insert(run: UInt32, page: UInt32, _ content: UnsafeRawBufferPointer) {
    let (tag, hash) = Self.address(run, page)
    stripes[Int(hash >> 58)].insert(tag, hash & 0xFFFF_FFFF, content)
  }
}
