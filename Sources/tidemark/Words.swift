internal import Bytes

/// Quantities as a person reads them.
enum Words {
  /// Bytes with a binary unit: `512 B`, `3.2 MiB`, `40 GiB`.
  static func size(_ bytes: UInt64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
    var unit = 0
    var tenths = bytes.multipliedFullWidth(by: 10).high == 0 ? bytes * 10 : bytes
    if tenths == bytes, bytes > 0 { (tenths, unit) = (bytes / 1024 * 10, 1) }
    while tenths >= 10240, unit < units.count - 1 {
      tenths = (tenths + 512) / 1024
      unit += 1
    }
    let isWhole = unit == 0 || tenths >= 1000 || tenths % 10 == 0
    let shown = isWhole ? "\((tenths + 5) / 10)" : "\(tenths / 10).\(tenths % 10)"
    return "\(shown) \(units[unit])"
  }

  /// A length of time in its two largest units: `4 s`, `3 min 20 s`, `2 d 4 h`.
  static func time(seconds: Int64) -> String {
    let units: [(Int64, String)] = [(86400, "d"), (3600, "h"), (60, "min"), (1, "s")]
    let seconds = max(0, seconds)
    guard let first = units.firstIndex(where: { seconds >= $0.0 }) else { return "0 s" }
    let (length, name) = units[first]
    let large = "\(seconds / length) \(name)"
    guard first + 1 < units.count else { return large }
    let rest = seconds % length / units[first + 1].0
    return rest == 0 ? large : "\(large) \(rest) \(units[first + 1].1)"
  }

  /// A length of time measured here: `0.03 s`, `3 min 20 s`.
  static func time(_ duration: Duration) -> String {
    let (seconds, attoseconds) = duration.components
    guard seconds < 10 else { return time(seconds: seconds) }
    let hundredths = attoseconds / 10_000_000_000_000_000
    return "\(seconds).\(hundredths < 10 ? "0" : "")\(hundredths) s"
  }

  /// A length of time in seconds, for JSON.
  static func seconds(_ duration: Duration) -> Double {
    let (seconds, attoseconds) = duration.components
    return Double(seconds) + Double(attoseconds / 1_000_000_000_000_000) / 1000
  }

  /// So many things: `1 disk`, `3 disks`.
  static func count(_ number: Int, _ thing: String) -> String {
    number == 1 ? "1 \(thing)" : "\(number) \(thing)s"
  }

  /// Rows under headings, in columns as wide as they need to be.
  static func table(_ headings: [String], _ rows: [[String]]) -> String {
    let all = [headings] + rows
    let widths = headings.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
    return all.map { row in
      var line = zip(row, widths).map { cell, width in
        cell + String(repeating: " ", count: width - cell.count)
      }.joined(separator: "  ")
      while line.hasSuffix(" ") { line.removeLast() }
      return line
    }.joined(separator: "\n")
  }

  /// Names and values, a line each, the values under each other.
  static func facts(_ facts: [(String, String)]) -> String {
    let width = facts.map(\.0.count).max() ?? 0
    return facts.map { name, value in
      name + (name.isEmpty ? " " : ":") + String(repeating: " ", count: width - name.count + 2)
        + value
    }.joined(separator: "\n")
  }
}
