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
    /// The stretch of data that was found last; between it and the one before there is none.
    private var data: Range<UInt64> = 0..<0

    init(reader: WindowReader, handover: Handover) {
      (self.reader, self.handover) = (reader, handover)
    }

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
        let data = try nextData(from: position)
        guard data.lowerBound < range.upperBound else {
          return try skip(position..<range.upperBound)
        }
        let start = max(position, data.lowerBound / page * page)
        try skip(position..<start)
        let end = min(range.upperBound, Self.roundedUp(data.upperBound))
        // A source that calls the same byte a hole and data must not stall the cycle.
        position = max(end, min(range.upperBound, start + page))
        try read(start..<position)
      }
    }

    private static func roundedUp(_ position: UInt64) -> UInt64 {
      let page = UInt64(Layout.pageSize)
      return position > .max - page ? .max : (position + page - 1) / page * page
    }

    /// The stretch of data that holds a byte or follows it, which is behind the end if none does.
    ///
    /// What was found last is kept: to find a hole, a file system goes through all pieces of the file
    /// before it, and a disk in use is read in as many stretches as it has pieces.
    private mutating func nextData(from position: UInt64) throws -> Range<UInt64> {
      if position < data.upperBound { return data }
      if let start = try reader.content.nextData(from: position) {
        data = start..<max(start + 1, try reader.content.nextHole(from: start))
      } else {
        data = reader.content.size..<UInt64.max
      }
      return data
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
