internal import Dispatch
internal import Synchronization

/// Reads stretches of a disk on two threads ahead of the one that uses them in order.
///
/// A source that decompresses is slower than the file it is written to; two readers keep both of
/// its processors and the writer busy. Memory is bounded by the slots: `slotCount` buffers.
package final class ReadAhead<Product: Sendable>: Sendable {
  /// The next stretch to read at or after an offset, at most a buffer long; nil at the end. Called
  /// by one thread at a time, with rising offsets.
  package typealias Next = @Sendable (UInt64) throws(ImageError) -> Range<UInt64>?
  /// Reads a stretch into a buffer, and says what it found. Called by both threads.
  package typealias Work =
    @Sendable (Range<UInt64>, UnsafeMutableRawBufferPointer) throws(ImageError) -> Product

  private let next: Next
  private let work: Work
  private let slots: [Slot]
  private let turn: Turn
  /// The user wants no more.
  private let isStopped = Atomic(false)

  /// What the reader knows whose turn it is to claim a stretch.
  ///
  /// Unchecked, because it belongs to one reader at a time: `free` hands it over. No mutex, because
  /// it is held while a slot is waited for.
  private final class Turn: @unchecked Sendable {
    var cursor: UInt64
    var issued = 0
    /// The end, or an error in finding the next stretch, has been claimed.
    var isExhausted = false
    let free = DispatchSemaphore(value: 0)

    init(at cursor: UInt64) {
      self.cursor = cursor
      free.signal()
    }
  }

  private enum Outcome {
    case stretch(Range<UInt64>, Product)
    case failed(ImageError)
    case end
  }

  /// A buffer and what is in it.
  ///
  /// Unchecked, because buffer and outcome belong to one thread at a time: `emptied` hands them to
  /// a reader, `filled` to the user.
  private final class Slot: @unchecked Sendable {
    let buffer: UnsafeMutableRawBufferPointer
    var outcome = Outcome.end
    let emptied = DispatchSemaphore(value: 0)
    let filled = DispatchSemaphore(value: 0)

    init(size: Int) {
      buffer = .allocate(byteCount: size, alignment: 4096)
      emptied.signal()
    }

    deinit { buffer.deallocate() }
  }

  /// Prepares to read from `start`, with buffers of `bufferSize` bytes.
  package init(
    from start: UInt64, bufferSize: Int, slotCount: Int = 6, next: @escaping Next,
    work: @escaping Work
  ) {
    (self.next, self.work) = (next, work)
    slots = (0..<slotCount).map { _ in Slot(size: bufferSize) }
    turn = Turn(at: start)
  }

  /// Reads everything, and gives each stretch to `use` on this thread, in order. Once only.
  ///
  /// - Throws: the first error of reading or of `use`; no thread is left behind.
  package func run(
    _ use: (Range<UInt64>, UnsafeRawBufferPointer, Product) throws(ImageError) -> Void
  ) throws(ImageError) {
    let readers = DispatchGroup()
    for number in 1...2 {
      // A serial queue each, so that each has a thread whatever else the process does.
      DispatchQueue(label: "tidemark.read-ahead.\(number)").async(group: readers) { self.read() }
    }
    defer {
      stop()
      readers.wait()
    }
    var index = 0
    var reached: UInt64 = 0
    while true {
      let slot = slots[index % slots.count]
      slot.filled.wait()
      switch slot.outcome {
      case .end: return
      case .failed(let error): throw error
      case .stretch(let range, let product):
        guard range.lowerBound >= reached else {
          fatalError("read-ahead is out of order: \(range) after \(reached)")
        }
        reached = range.upperBound
        try use(range, UnsafeRawBufferPointer(slot.buffer), product)
      }
      slot.emptied.signal()
      index += 1
    }
  }

  private func stop() {
    isStopped.store(true, ordering: .sequentiallyConsistent)
    // One reader at most waits for a slot; which slot that is, only it knows.
    for slot in slots { slot.emptied.signal() }
  }

  /// One reader: takes the next stretch and its slot, and fills it.
  private func read() {
    while let (slot, stretch) = claim() {
      slot.outcome = outcome(of: stretch, in: slot.buffer)
      slot.filled.signal()
    }
  }

  private func outcome(
    of stretch: Result<Range<UInt64>?, ImageError>, in buffer: UnsafeMutableRawBufferPointer
  ) -> Outcome {
    do throws(ImageError) {
      guard let range = try stretch.get() else { return .end }
      return .stretch(range, try work(range, buffer))
    } catch { return .failed(error) }
  }

  /// The next stretch and the slot it goes to; nil once the end or an error has been claimed.
  ///
  /// The turn ends when the slot is free: a reader that waited for it afterwards could be overtaken
  /// by the other one, which claimed the stretch that has the slot next.
  private func claim() -> (slot: Slot, stretch: Result<Range<UInt64>?, ImageError>)? {
    turn.free.wait()
    defer { turn.free.signal() }
    guard !turn.isExhausted, !isStopped.load(ordering: .sequentiallyConsistent) else { return nil }
    let stretch: Result<Range<UInt64>?, ImageError>
    do throws(ImageError) {
      let range = try next(turn.cursor)
      if let range { turn.cursor = range.upperBound }
      turn.isExhausted = range == nil
      stretch = .success(range)
    } catch {
      turn.isExhausted = true
      stretch = .failure(error)
    }
    let slot = slots[turn.issued % slots.count]
    turn.issued += 1
    slot.emptied.wait()
    return isStopped.load(ordering: .sequentiallyConsistent) ? nil : (slot, stretch)
  }
}
