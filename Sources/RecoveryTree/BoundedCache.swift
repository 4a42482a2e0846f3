/// A dictionary that forgets what was not asked for lately once it holds `limit` values.
struct BoundedCache<Key: Hashable, Value> {
  private let limit: Int
  private var values: [Key: (value: Value, used: UInt64)] = [:]
  private var clock: UInt64 = 0

  init(limit: Int) { self.limit = limit }

  var count: Int { values.count }

  subscript(key: Key) -> Value? {
    mutating get {
      clock += 1
      values[key]?.used = clock
      return values[key]?.value
    }
  }

  /// Keeps a value. When full, the half used longest ago goes, so that adding stays cheap on average.
  mutating func insert(_ value: Value, for key: Key) {
    if values.count >= limit {
      let middle = values.values.map(\.used).sorted()[limit / 2]
      values = values.filter { $0.value.used > middle }
    }
    clock += 1
    values[key] = (value, clock)
  }
}
