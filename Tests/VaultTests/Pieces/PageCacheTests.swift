import Dispatch
import Support
import Synchronization
import Testing

@testable import Vault

/// Goal: a page comes back as it was put in, or not at all. Method: more pages than there is room for,
/// from one thread and from several.
struct PageCacheTests {
  private func page(_ run: UInt32, _ page: UInt32) -> [UInt8] {
    var random = SeededGenerator(seed: UInt64(run) << 32 | UInt64(page))
    let word = random.next()
    return (0..<Format.indexPageSize).map { UInt8(truncatingIfNeeded: word >> UInt64($0 % 8 * 8)) }
  }

  private func insert(_ cache: PageCache, _ run: UInt32, _ number: UInt32) {
    page(run, number).withUnsafeBytes { cache.insert(run: run, page: number, $0) }
  }

  @Test("a page that was put in is found until others take its place")
  func findsPages() {
    let cache = PageCache(byteCount: 2 << 20)
    #expect(cache.find(run: 1, page: 0) { Array($0) } == nil)
    var found = 0
    for number in UInt32(0)..<2000 {
      insert(cache, 1, number)
      #expect(cache.find(run: 1, page: number) { Array($0) } == page(1, number))
      #expect(cache.find(run: 2, page: number) { _ in true } == nil)
    }
    for number in UInt32(0)..<2000 {
      guard let bytes = cache.find(run: 1, page: number, { Array($0) }) else { continue }
      found += 1
      #expect(bytes == page(1, number))
    }
    #expect(found > 256, "most of the room is used")
    #expect(found <= 512, "2 MiB are 512 pages")
  }

  @Test("pages from many threads do not mix")
  func threads() {
    let cache = PageCache(byteCount: 2 << 20)
    let wrong = Counter()
    DispatchQueue.concurrentPerform(iterations: 4) { worker in
      var random = SeededGenerator(seed: UInt64(worker))
      for _ in 0..<3000 {
        let (run, number) = (UInt32(random.number(0..<3)), UInt32(random.number(0..<400)))
        if let bytes = cache.find(run: run, page: number, { $0.load(as: UInt64.self) }) {
          let expected = page(run, number).withUnsafeBytes { $0.load(as: UInt64.self) }
          if bytes != expected { wrong.add() }
        } else {
          insert(cache, run, number)
        }
      }
    }
    #expect(wrong.value == 0)
  }
}

/// A count that several threads may raise.
private final class Counter: Sendable {
  private let count = Mutex(0)

  var value: Int { count.withLock { $0 } }

  func add() { count.withLock { $0 += 1 } }
}
