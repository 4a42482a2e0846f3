import Glibc
import ImageFormats
import Support
import Synchronization
import Testing

/// The two readers that run ahead of an export: order, bounds and ends, under all the disorder that
/// threads make.
struct ReadAheadTests {
  @Test("every stretch is used once, in order, however the two readers take turns")
  func order() throws {
    let count: UInt64 = 30_000
    let reader = ReadAhead<UInt64>(
      from: 0, bufferSize: 8, slotCount: 3,
      next: { cursor in cursor < count ? cursor..<cursor + 1 : nil },
      work: { range, buffer in
        buffer.storeBytes(of: range.lowerBound, as: UInt64.self)
        if range.lowerBound % 64 == 7 { usleep(1) }
        return range.lowerBound
      })
    var expected: UInt64 = 0
    var wrong: [Range<UInt64>] = []
    try reader.run { range, bytes, product in
      let isRight = range == expected..<expected + 1 && product == expected
      if !isRight || bytes.load(as: UInt64.self) != expected { wrong.append(range) }
      expected += 1
    }
    #expect(wrong.isEmpty && expected == count)
  }

  @Test(
    "an error in finding, reading or using a stretch ends everything, after what came before it")
  func errors() throws {
    let failure = #expect(throws: ImageError.self) { try VHD.paddedSize(of: 1) }
    let error = try #require(failure)
    for place in 0..<3 {
      for limit in [0, 1, 2, 5, 6, 7, 40] as [UInt64] {
        let reader = ReadAhead<Void>(
          from: 0, bufferSize: 1,
          next: { (cursor) throws(ImageError) in
            if place == 0, cursor == limit { throw error }
            return cursor..<cursor + 1
          },
          work: { (range, _) throws(ImageError) in
            if place == 1, range.lowerBound == limit { throw error }
          })
        var used: UInt64 = 0
        let caught = #expect(throws: ImageError.self) {
          try reader.run { (range, _, _) throws(ImageError) in
            if place == 2, range.lowerBound == limit { throw error }
            used += 1
          }
        }
        #expect(caught?.code == error.code && used == limit, "place \(place), limit \(limit)")
      }
    }
  }

  @Test("the readers are never further ahead than there are buffers, and only two read at once")
  func bounds() throws {
    let used = Atomic<UInt64>(0)
    let reading = Atomic<Int>(0)
    let reader = ReadAhead<Bool>(
      from: 0, bufferSize: 1, slotCount: 4,
      next: { cursor in cursor < 2000 ? cursor..<cursor + 1 : nil },
      work: { range, _ in
        let others = reading.add(1, ordering: .sequentiallyConsistent).oldValue
        defer { reading.subtract(1, ordering: .sequentiallyConsistent) }
        return others < 2 && range.lowerBound < used.load(ordering: .sequentiallyConsistent) + 5
      })
    try reader.run { _, _, isInBounds in
      #expect(isInBounds)
      used.add(1, ordering: .sequentiallyConsistent)
    }
  }
}
