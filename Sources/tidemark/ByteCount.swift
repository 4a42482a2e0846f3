internal import ArgumentParser

/// Bytes, as people write them: a number from 1, and K, M or G for 1024 of what comes before it.
struct ByteCount: ExpressibleByArgument {
  /// At least 1.
  let bytes: Int64

  init?(argument: String) {
    let units: [(Character, shift: Int64)] = [("K", 10), ("M", 20), ("G", 30)]
    let unit = units.first { String($0.0) == argument.suffix(1).uppercased() }
    let shift = unit?.shift ?? 0
    guard let number = Int64(unit == nil ? argument[...] : argument.dropLast()),
      (1...Int64.max >> shift).contains(number)
    else { return nil }
    bytes = number << shift
  }
}

/// Bytes a second as a limit: a count of bytes, or `none`.
struct ByteRate: ExpressibleByArgument {
  /// 0 for no limit.
  let bytesPerSecond: Int64

  init?(argument: String) {
    guard argument != "none" else {
      bytesPerSecond = 0
      return
    }
    guard let count = ByteCount(argument: argument) else { return nil }
    bytesPerSecond = count.bytes
  }
}
