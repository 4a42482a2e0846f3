internal import Bytes
internal import Catalog
internal import FileIO
internal import Synchronization

/// Notes in the catalog who was turned away, and why: what is the same once in ten minutes only, so that
/// nobody fills the catalog by trying again and again.
final class RefusalLog: Sendable {
  private static let interval: Int64 = 600
  /// Kinds of refusal that are remembered at the most.
  private static let limit = 1000

  private let catalog: Catalog
  /// When each kind was noted, and how often it came since.
  private let noted = Mutex<[String: (time: Int64, since: Int)]>([:])

  init(_ catalog: Catalog) { self.catalog = catalog }

  /// Notes a refusal; those of one `code` and `kind` are the same.
  func note(
    _ code: String, kind: String, machine: String? = nil, _ message: String,
    now: Timestamp = .now()
  ) {
    let key = code + " " + kind
    let earlier = noted.withLock { noted -> Int? in
      if let last = noted[key], now.seconds - last.time < Self.interval {
        noted[key] = (last.time, last.since + 1)
        return nil
      }
      let since = noted[key]?.since ?? 0
      noted = noted.filter { now.seconds - $0.value.time < Self.interval }
      // With so many kinds at a time somebody is making them up.
      guard noted.count < Self.limit else { return nil }
      noted[key] = (now.seconds, 0)
      return since
    }
    guard let earlier else { return }
    let more = earlier == 0 ? "" : " That came \(earlier) times more before."
    _ = try? catalog.addEvent(.warning, code, machine: machine, message + more, now: now)
  }
}
