internal import FileIO
internal import Synchronization

/// How busy this host's processors and memory are, over the last quarter of an hour, and how fast a cache
/// empties.
public final class LoadMeter: Sendable {
  private struct Sample: Sendable {
    let time: ContinuousClock.Instant
    let load: HostLoad
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
      time: now, load: HostLoad.now(at: "/"), stored: stored, pending: pending)
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
      let measured = first.load.processor.flatMap { last.load.processor?.percent(since: $0) } ?? 0
      // A peak in less than the whole span is no alarm, so it is not told as one.
      let processor = last.time - first.time < Self.span ? min(measured, 80) : measured
      let memory = samples.reduce(0) { $0 + ($1.load.memoryPercent ?? 0) } / samples.count
      return (UInt32(processor) * 10, UInt32(memory) * 10)
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
}
