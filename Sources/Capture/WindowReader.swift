internal import Bytes
internal import Dispatch

/// Reads stretches of a disk, ahead of the thread that compares them.
struct WindowReader: Sendable {
  let disk: DiskNumber
  let path: String
  let content: any DiskContent
  /// Whole pages, ascending, apart.
  let ranges: [Range<UInt64>]

  /// Holes of at least so many blocks are told instead of read.
  private static let holeBlocks = UInt64(Window.blocks / 2)

  /// Starts reading on a thread of its own; the last item put is `.failed` or `.end`.
  func start(into handover: Handover) {
    let queue = DispatchQueue(label: "tidemark.capture.read", qos: .userInitiated)
    queue.async {
      do throws(CaptureError) {
        var filler = Filler(reader: self, handover: handover)
        try filler.fill()
        handover.put(.end)
      } catch { handover.put(.failed(error)) }
    }
  }

  /// The work of the reading thread.
  private struct Filler {
    let reader: WindowReader
    let handover: Handover
    var window: Window?
    var stopped = false

    mutating func fill() throws(CaptureError) {
      do {
        for range in reader.ranges where !stopped { try fill(range) }
      } catch { throw .source(reader.disk, reader.path, error) }
      flush()
    }

    private mutating func fill(_ range: Range<UInt64>) throws {
      let page = UInt64(Layout.pageSize)
      var position = range.lowerBound
      while position < range.upperBound, !stopped {
        let found = try reader.content.nextData(from: position) ?? reader.content.size
        let data = max(position, min(found, range.upperBound) / page * page)
        let start = found < range.upperBound ? data : range.upperBound
        try skip(position..<start)
        guard start < range.upperBound else { return }
        let hole = try reader.content.nextHole(from: max(found, start))
        let end = min(range.upperBound, (hole + page - 1) / page * page)
        // A source that calls the same byte a hole and data must not stall the cycle.
        position = max(end, min(range.upperBound, start + page))
        try read(start..<position)
      }
    }

    /// Tells of the whole blocks of a long hole; short ones, and the rests of blocks, are read.
    private mutating func skip(_ hole: Range<UInt64>) throws {
      let block = UInt64(Layout.blockSize)
      let first = (hole.lowerBound + block - 1) / block
      let toEnd = hole.upperBound >= reader.content.size
      let end = toEnd ? (hole.upperBound + block - 1) / block : hole.upperBound / block
      guard end >= first + WindowReader.holeBlocks else { return try read(hole) }
      try read(hole.lowerBound..<first * block)
      flush()
      handover.put(.hole(first..<end))
      if !toEnd { try read(end * block..<hole.upperBound) }
    }

    private mutating func read(_ range: Range<UInt64>) throws {
      var position = range.lowerBound
      while position < range.upperBound {
        guard let window = place(at: position) else { return }
        let end = min(range.upperBound, window.base + Window.length)
        try reader.content.read(into: window.part(position..<end), at: position)
        window.markRead(position..<end)
        let page = UInt64(Layout.pageSize)
        let padded = (end + page - 1) / page * page
        if padded > end { window.part(end..<padded).clear() }
        position = end
      }
    }

    /// The window that holds `position`; nil if the other thread wants no more.
    private mutating func place(at position: UInt64) -> Window? {
      if let window, window.contains(position) { return window }
      flush()
      guard let next = handover.freeWindow() else {
        stopped = true
        return nil
      }
      next.move(to: position)
      window = next
      return next
    }

    private mutating func flush() {
      if let full = window { handover.put(.window(full)) }
      window = nil
    }
  }
}
