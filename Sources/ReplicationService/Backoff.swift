/// How long to wait before the next attempt: 1, 2, 4, … up to 60 seconds, each made shorter or longer by
/// up to a fifth at random, so that a thousand agents do not come back in one moment.
public struct Backoff: Sendable {
  private var failures = 0

  /// The longest wait before the random part.
  static let longest = 60

  /// Starts with the shortest wait.
  public init() {}

  /// The wait after one more failure.
  public mutating func next(using random: inout some RandomNumberGenerator) -> Duration {
    let seconds = failures < 6 ? 1 << failures : Self.longest
    failures += 1
    return .seconds(Double(min(seconds, Self.longest)) * .random(in: 0.8...1.2, using: &random))
  }

  /// The wait after one more failure.
  public mutating func next() -> Duration {
    var random = SystemRandomNumberGenerator()
    return next(using: &random)
  }

  /// Starts again with the shortest wait: after a connection that did some work.
  public mutating func reset() { failures = 0 }
}
