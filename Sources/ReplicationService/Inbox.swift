internal import Replication

/// Where the frames of a connection go. Called on the connection's event loop; must not block.
protocol Inbox: Sendable {
  /// Takes frames in the order they came.
  func deliver(_ frames: [Frame])
  /// Whether so much waits to be consumed that no more is to be read. Whoever consumes then calls
  /// `read` on the channel.
  var isFull: Bool { get }
  /// The connection is gone; nothing comes any more.
  func end(_ error: TransportError?)
}

/// Things in the order they came, with a count of the bytes they hold.
///
/// Once `limit` bytes wait it is full, and stays so until half of them are gone.
struct Waiting<Element: Sendable>: Sendable {
  private var elements: [Element?] = []
  private var next = 0
  private var bytes = 0
  private let limit: Int
  private(set) var isFull = false

  init(limit: Int) { self.limit = limit }

  mutating func append(_ element: Element, bytes count: Int) {
    elements.append(element)
    bytes += count
    if bytes >= limit { isFull = true }
  }

  mutating func takeFirst() -> Element? {
    guard next < elements.count else { return nil }
    defer {
      elements[next] = nil
      next += 1
      // Moving what is left costs less than what was taken since the last time.
      if next > 32, next * 2 > elements.count {
        elements.removeFirst(next)
        next = 0
      }
    }
    return elements[next]
  }

  /// Notes that so many bytes are consumed; true if there is room again that there was not before.
  mutating func consumed(_ count: Int) -> Bool {
    bytes -= count
    guard isFull, bytes <= limit / 2 else { return false }
    isFull = false
    return true
  }

  mutating func removeAll() { self = Waiting(limit: limit) }
}

extension Frame {
  /// What a frame takes in memory while it waits.
  var heldSize: Int { payload.count + 64 }
}
