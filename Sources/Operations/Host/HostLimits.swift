public import FileIO

/// When a host's load is an alarm. The numbers are those at which Azure Site Recovery warns of a
/// process server.
public struct HostLimits: Sendable {
  /// How bad a load is.
  public enum Verdict: Int, Sendable, CaseIterable, Comparable {
    /// As it should be.
    case ok
    /// Somebody should look.
    case warning
    /// It hurts, or soon will.
    case critical

    /// Orders by urgency.
    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
  }

  /// Percent of processor time or memory above which there is a warning.
  public var busyWarning = 80
  /// Percent of processor time or memory above which it is critical.
  public var busyCritical = 95
  /// Percent of the file system below which there is a warning.
  public var freeWarning = 30
  /// Percent of the file system below which it is critical.
  public var freeCritical = 25

  /// The usual limits.
  public init() {}

  /// Judges a share of processor time or memory.
  public func verdict(busy percent: Int?) -> Verdict {
    guard let percent else { return .ok }
    return percent > busyCritical ? .critical : percent > busyWarning ? .warning : .ok
  }

  /// Judges a share of the file system that is free.
  public func verdict(free percent: Int?) -> Verdict {
    guard let percent else { return .ok }
    return percent < freeCritical ? .critical : percent < freeWarning ? .warning : .ok
  }
}

/// The load of a host over the last while, of which alarms are made: a moment's peak is none.
public struct HostLoadWindow: Sendable {
  /// Seconds over which processor and memory are averaged before they are judged.
  public static let length: Int64 = 900

  private var samples: [(seconds: Int64, load: HostLoad)] = []

  /// Nothing was looked at yet.
  public init() {}

  /// Takes a load as it was at a moment, in seconds; clocks that step back empty the window.
  public mutating func add(_ load: HostLoad, at seconds: Int64) {
    if let last = samples.last, last.seconds > seconds { samples = [] }
    // A sample every ten seconds at the most: some 90 are kept.
    if let last = samples.last, samples.count > 1, seconds - last.seconds < 10 { return }
    samples.append((seconds, load))
    let first = samples.lastIndex { $0.seconds <= seconds - Self.length } ?? 0
    samples.removeFirst(first)
  }

  /// Whether a whole window was seen.
  public var isFull: Bool {
    guard let first = samples.first, let last = samples.last else { return false }
    return last.seconds - first.seconds >= Self.length
  }

  /// Percent of processor time that was used in the window; nil if it is not known.
  public var processorPercent: Int? {
    guard let first = samples.first?.load.processor, let last = samples.last?.load.processor else {
      return nil
    }
    return last.percent(since: first)
  }

  /// The average share of memory in the window, in percent; nil if it is not known.
  public var memoryPercent: Int? {
    let known = samples.compactMap(\.load.memoryPercent)
    return known.isEmpty ? nil : known.reduce(0, +) / known.count
  }
}
