import Bytes
import Synchronization
import Testing

@testable import Capture

/// Goal: a disk is read as far as it was asked for, whatever pieces its file has, at a cost that does not
/// grow with their square. Method: a disk made up of data and holes, that counts the questions.
struct WindowReaderTests {
  /// Data in every other stretch of 8 MiB; each byte of data tells its place.
  private final class Pieces: DiskContent {
    static let stretch: UInt64 = 8 << 20
    let size: UInt64 = 64 << 20
    let asked = Mutex(0)

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) {
      for place in buffer.indices {
        let position = offset + UInt64(place)
        let isData = position / Self.stretch % 2 == 0
        buffer[place] = isData ? UInt8(truncatingIfNeeded: position >> 12) | 1 : 0
      }
    }

    func nextData(from offset: UInt64) -> UInt64? {
      asked.withLock { $0 += 1 }
      let stretch = offset / Self.stretch
      let found = stretch % 2 == 0 ? offset : (stretch + 1) * Self.stretch
      return found < size ? found : nil
    }

    func nextHole(from offset: UInt64) -> UInt64 {
      asked.withLock { $0 += 1 }
      let stretch = offset / Self.stretch
      return stretch % 2 == 0 ? (stretch + 1) * Self.stretch : offset
    }
  }

  @Test(
    "a disk that is read in thousands of stretches is asked for its holes once for each of them")
  func holes() {
    let disk = Pieces()
    let page = UInt64(Layout.pageSize)
    let ranges = (0..<disk.size / page / 4).map { $0 * 4 * page..<($0 * 4 + 1) * page }
    let handover = Handover()
    WindowReader(disk: 0, path: "/disk", content: disk, ranges: ranges).start(into: handover)
    var read = 0
    var isOver = false
    while !isOver {
      switch handover.take() {
      case .window(let window):
        for block in 0..<Window.blocks {
          for number in 0..<Layout.pagesPerBlock
          where window.pages[block] & 1 << UInt16(number) != 0 {
            let place = window.start(of: block) + UInt64(number) * page
            let isData = place / Pieces.stretch % 2 == 0
            let byte = window.block(block)[number * Layout.pageSize]
            #expect(byte == (isData ? UInt8(truncatingIfNeeded: place >> 12) | 1 : 0))
            read += 1
          }
        }
        handover.giveBack(window)
      case .hole, .failed: Issue.record("pages that are apart are no long hole")
      case .end: isOver = true
      }
    }
    #expect(read == ranges.count)
    #expect(disk.asked.withLock { $0 } <= 12)
  }
}
