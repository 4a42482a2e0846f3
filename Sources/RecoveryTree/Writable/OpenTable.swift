internal import Bytes
internal import Synchronization

/// Who has which disk open, and whether the disks are frozen, in memory that outlives the process that
/// serves them.
///
/// The kernel does not tell a successor which files are open, so its predecessor leaves this table. The
/// memory begins with a word that tells it is one, a word of flags, a count of opens, 40 bytes for later, and
/// from byte 64 on a row of four words for each open file: its handle (0: the row is free), the number of the
/// kernel's request that opened it, and the bytes of the disk that it is: the first, and how many. A request
/// that a successor gets again thereby finds its row, and a partition stays what it was when it was opened.
/// A row is taken by writing its handle last, and left by writing 0 there: the end of the process between two
/// stores leaves a whole table. A handle has the count of opens in it, so that who gives up an open file once
/// more, as a successor is asked to, does not give up somebody else's.
///
/// Not safe for several threads, but for `window`: a mutex holds the one value there is, and only therefore may
/// it go from thread to thread although it has a pointer.
struct OpenTable: @unchecked Sendable {
  /// Bytes that the table takes.
  static let size = 1 << 17
  private static let mark: UInt64 = 0x544D_4F50_454E_0002
  private static let firstRow = 8
  private static let rowSize = 4
  static let limit = (size / 8 - firstRow) / rowSize

  private let words: UnsafeMutableBufferPointer<Atomic<UInt64>>
  /// The rows in use, whatever their order.
  private var taken: Set<Int> = []

  private enum Head: Int { case mark, flags, opens }
  private enum Field: Int { case handle, request, offset, size }

  /// Reads the table in `memory`, which is at least `size` bytes and lasts longer than the value; makes a
  /// new one if all of it is zeros. Nil if it holds anything else.
  init?(in memory: UnsafeMutableRawBufferPointer) {
    guard memory.count >= Self.size else { return nil }
    words = UnsafeMutableRawBufferPointer(rebasing: memory[..<Self.size])
      .bindMemory(to: Atomic<UInt64>.self)
    if self[.mark] == 0 { self[.mark] = Self.mark }
    guard self[.mark] == Self.mark else { return nil }
    for place in 0..<Self.limit where self[place, .handle] != 0 { taken.insert(place) }
  }

  private subscript(word: Head) -> UInt64 {
    get { words[word.rawValue].load(ordering: .acquiring) }
    nonmutating set { words[word.rawValue].store(newValue, ordering: .releasing) }
  }

  private subscript(place: Int, field: Field) -> UInt64 {
    get {
      words[Self.firstRow + Self.rowSize * place + field.rawValue].load(ordering: .acquiring)
    }
    nonmutating set {
      words[Self.firstRow + Self.rowSize * place + field.rawValue]
        .store(newValue, ordering: .releasing)
    }
  }

  /// Flags that a successor has to know.
  struct Flags: OptionSet {
    let rawValue: UInt64
    static let frozen = Flags(rawValue: 1)
  }

  var flags: Flags {
    get { Flags(rawValue: self[.flags]) }
    set { self[.flags] = newValue.rawValue }
  }

  /// All that is open.
  var handles: [DiskHandle] { taken.map { DiskHandle(rawValue: self[$0, .handle]) } }

  var isEmpty: Bool { taken.isEmpty }

  /// Which bytes of its disk an open file is; nil if the handle is of none. From any thread, for as long as
  /// nobody gives the handle up.
  func window(of handle: DiskHandle) -> Range<UInt64>? {
    guard handle.place < Self.limit, self[handle.place, .handle] == handle.rawValue else {
      return nil
    }
    let (start, size) = (self[handle.place, .offset], self[handle.place, .size])
    let (end, isTooFar) = start.addingReportingOverflow(size)
    return isTooFar ? nil : start..<end
  }

  /// Those of a disk that share bytes with a window of it.
  func handles(of disk: DiskNumber, overlapping window: Range<UInt64>) -> [DiskHandle] {
    handles.filter { handle in
      handle.file?.disk == disk && self.window(of: handle)?.overlaps(window) == true
    }
  }

  /// The handle that a request was given already, by this process or the one before it.
  func handle(of request: UInt64) -> DiskHandle? {
    taken.first { self[$0, .request] == request }.map { DiskHandle(rawValue: self[$0, .handle]) }
  }

  /// Takes a row; nil if all are taken.
  mutating func open(
    _ file: DiskFile, _ use: DiskHandle.Use, _ window: Range<UInt64>, request: UInt64
  ) -> DiskHandle? {
    guard let place = (0..<Self.limit).first(where: { !taken.contains($0) }) else { return nil }
    self[.opens] &+= 1
    let handle = DiskHandle(file, use, place: place, count: self[.opens])
    self[place, .request] = request
    self[place, .offset] = window.lowerBound
    self[place, .size] = window.upperBound - window.lowerBound
    self[place, .handle] = handle.rawValue
    taken.insert(place)
    return handle
  }

  /// Leaves a row; nothing happens if it was left before.
  mutating func close(_ handle: DiskHandle) {
    guard taken.contains(handle.place), self[handle.place, .handle] == handle.rawValue else {
      return
    }
    self[handle.place, .handle] = 0
    taken.remove(handle.place)
  }
}
