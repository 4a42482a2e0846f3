internal import FileIO
internal import Synchronization

/// How busy this host's processors and memory are, over the last quarter of an hour, and how fast a cache
/// empties. Linux, by proc(5).
public final class LoadMeter: Sendable {
  private struct Sample: Sendable {
    let time: ContinuousClock.Instant
    /// Ticks of all processors, and those in which they had nothing to do.
    let ticks: (all: UInt64, idle: UInt64)
    /// Thousandths of the memory that were used.
    let memory: UInt32
    /// Bytes stored so far, and bytes that waited to be.
    let stored: UInt64
    let pending: UInt64
  }

  private static let span = Duration.seconds(900)
  private let samples = Mutex<[Sample]>([])

  /// Begins to measure.
  public init() { note() }

  /// Takes a sample; to be called every now and then.
  ///
  /// - Parameters:
  ///   - stored: bytes that left the cache so far.
  ///   - pending: bytes that wait in it now.
  ///   - now: the moment.
  public func note(
    stored: UInt64 = 0, pending: UInt64 = 0, at now: ContinuousClock.Instant = .now
  ) {
    let sample = Sample(
      time: now, ticks: Self.ticks(Self.read("/proc/stat")),
      memory: Self.memory(Self.read("/proc/meminfo")), stored: stored, pending: pending)
    samples.withLock { samples in
      samples.append(sample)
      // One that is older than the span stays, so that the span is covered.
      while samples.count > 2, samples[1].time <= now - Self.span { samples.removeFirst() }
    }
  }

  /// Thousandths of the processors' time and of the memory.
  public var use: (processor: UInt32, memory: UInt32) {
    samples.withLock { samples in
      guard let first = samples.first, let last = samples.last else { return (0, 0) }
      let all = last.ticks.all &- first.ticks.all
      let idle = last.ticks.idle &- first.ticks.idle
      let measured = all == 0 || idle > all ? 0 : UInt32((all - idle) * 1000 / all)
      // A peak in less than the whole span is no alarm, so it is not told as one.
      let processor = last.time - first.time < Self.span ? min(measured, 800) : measured
      let memory = samples.reduce(0) { $0 + UInt64($1.memory) } / UInt64(samples.count)
      return (processor, UInt32(memory))
    }
  }

  /// Seconds until what waits now is stored, at the rate at which things were while some waited; where none
  /// were, as long as it waits already.
  public var pendingSeconds: UInt32 {
    samples.withLock { samples in
      guard let last = samples.last, last.pending > 0 else { return 0 }
      var (bytes, time) = (0.0, 0.0)
      for (one, next) in zip(samples, samples.dropFirst()) where one.pending > 0 {
        bytes += Double(next.stored &- one.stored)
        time += (next.time - one.time).seconds
      }
      if bytes > 0 { return UInt32(min(Double(last.pending) * time / bytes, 1e9)) }
      let since = samples.reversed().prefix { $0.pending > 0 }.last?.time ?? last.time
      return UInt32((last.time - since).seconds)
    }
  }

  private static func read(_ path: String) -> String {
    // Files of /proc have no size; these are short.
    guard let file = try? File(path, .reading), let bytes = try? file.read(at: 0, count: 16384)
    else { return "" }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// The first line of /proc/stat: the fourth number is idle time, the fifth waiting for disks.
  static func ticks(_ text: String) -> (all: UInt64, idle: UInt64) {
    let numbers = text.prefix { $0 != "\n" }.split(separator: " ").dropFirst().prefix(8)
      .compactMap { UInt64($0) }
    guard numbers.count >= 5 else { return (0, 0) }
    return (numbers.reduce(0, &+), numbers[3] &+ numbers[4])
  }

  static func memory(_ text: String) -> UInt32 {
    func value(_ name: String) -> UInt64? {
      let line = text.split(separator: "\n").first { $0.hasPrefix(name + ":") }
      return line?.split(separator: " ").dropFirst().first.flatMap { UInt64($0) }
    }
    guard let all = value("MemTotal"), all > 0, let free = value("MemAvailable"), free <= all
    else { return 0 }
    return UInt32((all - free) * 1000 / all)
  }
}
