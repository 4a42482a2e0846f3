internal import Glibc

/// Random numbers that a number chooses: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
///
/// A test draws everything it does from one of these and prints `seed`, so that
/// `TIDEMARK_SEED=… swift test --filter …` does the same again.
public struct SeededGenerator: RandomNumberGenerator, Sendable {
  /// The number that decides all that follow.
  public let seed: UInt64
  private var state: UInt64

  /// Starts the sequence that belongs to `seed`.
  public init(seed: UInt64) {
    self.seed = seed
    state = seed
  }

  /// Starts the sequence that `TIDEMARK_SEED` names, or a random one, and prints its seed.
  ///
  /// - Parameter purpose: what the numbers are for; printed beside the seed.
  public init(for purpose: String) {
    self.init(seed: environment("TIDEMARK_SEED").flatMap(UInt64.init) ?? .random(in: 0...(.max)))
    print("seed=\(seed) (\(purpose))")
  }

  /// The next 64 bits.
  public mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }

  /// A number of `range`, each as likely.
  public mutating func number(_ range: Range<Int>) -> Int { Int.random(in: range, using: &self) }

  /// True once in `times` on average.
  public mutating func once(in times: Int) -> Bool { number(0..<times) == 0 }

  /// So many bytes that no codec can shorten.
  public mutating func bytes(_ count: Int) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      var place = 0
      while place < count {
        var word = next()
        for _ in 0..<min(8, count - place) {
          buffer[place] = UInt8(truncatingIfNeeded: word)
          (word, place) = (word >> 8, place + 1)
        }
      }
      initialized = count
    }
  }

  /// A generator for a part of a test, so that what one part draws does not move another's numbers.
  public mutating func branch() -> SeededGenerator { SeededGenerator(seed: next()) }
}

/// The value of a variable of the environment; nil if it is not set or empty.
public func environment(_ name: String) -> String? {
  guard let value = getenv(name) else { return nil }
  let text = String(cString: value)
  return text.isEmpty ? nil : text
}

/// How often a test repeats what it does: little in a normal run, more where the environment says so.
public enum Count {
  /// The number in the environment variable `name`, or `normally` if it names none.
  public static func of(_ name: String, normally: Int) -> Int {
    environment(name).flatMap(Int.init) ?? normally
  }
}
