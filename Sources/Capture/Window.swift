internal import Bytes
internal import Dispatch
internal import Synchronization

/// A stretch of a disk in memory, of which certain pages were read.
///
/// `@unchecked Sendable`: it belongs to one thread at a time, which hands it on through `Handover`.
public final class Window: @unchecked Sendable {
  /// Blocks a window spans: 2 MiB, so that a source is read in large pieces.
  public static let blocks = 32
  /// Bytes a window spans.
  static let length = UInt64(blocks * Layout.blockSize)

  /// The bytes; only those of read pages mean something. Beyond the end of the disk they are zeros.
  let buffer = UnsafeMutableRawBufferPointer.allocate(
    byteCount: Int(Window.length), alignment: Layout.pageSize)
  /// Where it begins on the disk: a multiple of `length`.
  public private(set) var base: UInt64 = 0
  /// The pages of each block that were read.
  public private(set) var pages = [UInt16](repeating: 0, count: Window.blocks)

  deinit { buffer.deallocate() }

  /// Moves to another place, with no page read.
  func move(to position: UInt64) {
    base = position / Self.length * Self.length
    for block in 0..<Self.blocks { pages[block] = 0 }
  }

  /// Where a block of the window begins on the disk.
  public func start(of block: Int) -> UInt64 { base + UInt64(block * Layout.blockSize) }

  /// The 64 KiB of a block; only those of read pages mean something.
  public func block(_ number: Int) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(
      rebasing: buffer[number * Layout.blockSize..<(number + 1) * Layout.blockSize])
  }

  /// The pages of a block that hold anything but zeros; those that were read mean something.
  public func pagesWithData(of number: Int) -> UInt16 {
    let bytes = block(number)
    var mask: UInt16 = 0
    for page in 0..<Layout.pagesPerBlock {
      let start = page * Layout.pageSize
      if !UnsafeRawBufferPointer(rebasing: bytes[start..<start + Layout.pageSize]).isZero {
        mask |= 1 << UInt16(page)
      }
    }
    return mask
  }

  /// Whether the byte at `position` of the disk lies in it.
  func contains(_ position: UInt64) -> Bool { position >= base && position - base < Self.length }

  /// The part of the buffer for a stretch of the disk.
  func part(_ range: Range<UInt64>) -> UnsafeMutableRawBufferPointer {
    UnsafeMutableRawBufferPointer(
      rebasing: buffer[Int(range.lowerBound - base)..<Int(range.upperBound - base)])
  }

  /// Notes the pages of a stretch, which covers whole pages, as read.
  func markRead(_ range: Range<UInt64>) {
    let first = Int(range.lowerBound - base) / Layout.pageSize
    let end = (Int(range.upperBound - base) + Layout.pageSize - 1) / Layout.pageSize
    for page in first..<end {
      pages[page / Layout.pagesPerBlock] |= 1 << UInt16(page % Layout.pagesPerBlock)
    }
  }
}

/// Hands windows from the thread that reads to the one that compares, and back; a few at a time.
final class Handover: Sendable {
  /// What the reading thread has to say, in the order of the disk.
  enum Item: Sendable {
    /// Pages were read.
    case window(Window)
    /// These blocks are zeros without reading them.
    case hole(Range<UInt64>)
    /// Reading failed, and has ended.
    case failed(CaptureError)
    /// Everything was said.
    case end
  }

  private struct State {
    var items: [Item] = []
    var free: [Window] = []
    /// The comparing thread wants no more.
    var stopped = false
    /// The comparing thread took the last item.
    var ended = false
  }

  /// Windows in use: one is filled, one waits, one is compared.
  private static let depth = 3
  private let state = Mutex(State())
  /// Starts at 0: libdispatch traps when one goes that stands lower than it started.
  private let room = DispatchSemaphore(value: 0)
  private let ready = DispatchSemaphore(value: 0)

  init() {
    for _ in 0..<Self.depth { giveBack(Window()) }
  }

  /// For the reading thread: waits for room; nil once nobody wants to hear more.
  func freeWindow() -> Window? {
    room.wait()
    return state.withLock { $0.stopped ? nil : $0.free.popLast() }
  }

  /// For the reading thread: hands on an item. A window must be one that `freeWindow` gave.
  func put(_ item: Item) {
    state.withLock { $0.items.append(item) }
    ready.signal()
  }

  /// For the comparing thread: waits for the next item.
  func take() -> Item {
    ready.wait()
    return state.withLock { state in
      let item: Item = state.items.isEmpty ? .end : state.items.removeFirst()
      switch item {
      case .window, .hole: break
      case .failed, .end: state.ended = true
      }
      return item
    }
  }

  /// For the comparing thread: gives a window back to be filled again.
  func giveBack(_ window: Window) {
    state.withLock { $0.free.append(window) }
    room.signal()
  }

  /// For the comparing thread: makes the reading thread end if it has not, and waits until it has.
  func stop() {
    state.withLock { $0.stopped = true }
    room.signal()
    while !state.withLock({ $0.ended }) { _ = take() }
  }
}
