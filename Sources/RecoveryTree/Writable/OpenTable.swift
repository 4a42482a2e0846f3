/// Who has which disk open, and whether the disks are frozen, in memory that outlives the process that
/// serves them.
///
/// The kernel does not tell a successor which files are open, so its predecessor leaves this table. The
/// memory begins with a word that tells it is one, then a word of flags, 48 bytes for later, and from byte
/// 64 on a row of two words for each open file: its handle (0: the row is free), and the number of the
/// kernel's request that opened it. A request that a successor gets again thereby finds its row. A row is
/// taken by writing its handle last, and left by writing 0 there: the end of the process between two
/// stores leaves a whole table.
///
/// Not safe for several threads: a mutex holds the one value there is, and only therefore may it go from
/// thread to thread although it has a pointer.
struct OpenTable: @unchecked Sendable {
  /// Bytes that the table takes.
  static let size = 1 << 16
  private static let mark: UInt64 = 0x544D_4F50_454E_0001
  private static let rows = 8
  static let limit = (size / 8 - rows) / 2

  private let words: UnsafeMutableBufferPointer<UInt64>
  /// The rows in use, whatever their order.
  private var taken: Set<Int> = []

  /// Reads the table in `memory`, which is at least `size` bytes and lasts longer than the value; makes a
  /// new one if all of it is zeros. Nil if it holds anything else.
  init?(in memory: UnsafeMutableRawBufferPointer) {
    guard memory.count >= Self.size else { return nil }
    words = UnsafeMutableRawBufferPointer(rebasing: memory[..<Self.size])
      .bindMemory(to: UInt64.self)
    if words[0] == 0 { words[0] = Self.mark }
    guard words[0] == Self.mark else { return nil }
    for place in 0..<Self.limit where words[Self.rows + 2 * place] != 0 { taken.insert(place) }
  }

  /// Flags that a successor has to know.
  struct Flags: OptionSet {
    let rawValue: UInt64
    static let frozen = Flags(rawValue: 1)
  }

  var flags: Flags {
    get { Flags(rawValue: words[1]) }
    set { words[1] = newValue.rawValue }
  }

  /// All that is open.
  var handles: [DiskHandle] {
    taken.map { DiskHandle(rawValue: words[Self.rows + 2 * $0]) }
  }

  var isEmpty: Bool { taken.isEmpty }

  /// The handle that a request was given already, by this process or the one before it.
  func handle(of request: UInt64) -> DiskHandle? {
    let place = taken.first { words[Self.rows + 2 * $0 + 1] == request }
    return place.map { DiskHandle(rawValue: words[Self.rows + 2 * $0]) }
  }

  /// Takes a row; nil if all are taken.
  mutating func open(_ file: DiskFile, writes: Bool, request: UInt64) -> DiskHandle? {
    guard let place = (0..<Self.limit).first(where: { !taken.contains($0) }) else { return nil }
    let handle = DiskHandle(file, writes: writes, place: place)
    words[Self.rows + 2 * place + 1] = request
    words[Self.rows + 2 * place] = handle.rawValue
    taken.insert(place)
    return handle
  }

  /// Leaves a row; nothing happens if it was left before.
  mutating func close(_ handle: DiskHandle) {
    guard taken.contains(handle.place),
      words[Self.rows + 2 * handle.place] == handle.rawValue
    else { return }
    words[Self.rows + 2 * handle.place] = 0
    taken.remove(handle.place)
  }
}
