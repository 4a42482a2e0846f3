/// Shows how far work has come, a few times a second, with its rate and the time it still takes.
struct ProgressMeter {
  private let clock = ContinuousClock()
  private let start: ContinuousClock.Instant
  private var next: ContinuousClock.Instant

  init() {
    start = clock.now
    next = start
  }

  /// Shows a line such as `disk 0: 35 %, 3.5 GiB of 10 GiB, 1.2 GiB/s, 6 s left, 2 MiB changed`;
  /// the last one in any case.
  mutating func show(
    _ what: String, done: UInt64, of total: UInt64, isLast: Bool = false,
    rest: () -> String? = { nil }
  ) {
    let now = clock.now
    guard now >= next || isLast, Console.isWatched else { return }
    next = now + .milliseconds(200)
    let seconds = Words.seconds(now - start)
    let percent = total == 0 ? 100 : Int(Double(done) / Double(total) * 100)
    var parts = ["\(percent) %", "\(Words.size(done)) of \(Words.size(total))"]
    if seconds > 0.5, done > 0 {
      let rate = Double(done) / seconds
      parts.append("\(Words.size(UInt64(rate)))/s")
      parts.append("\(Words.time(seconds: Int64(Double(total - min(done, total)) / rate))) left")
    }
    if let rest = rest() { parts.append(rest) }
    Console.progress("\(what): \(parts.joined(separator: ", "))")
  }
}
