internal import FileIO

/// How busy a host is at a moment: processor, memory, and the file system that something lies on.
///
/// Sources: proc_stat(5), proc_meminfo(5), statvfs(3). What can't be read is nil, and is no alarm.
public struct HostLoad: Hashable, Sendable {
  /// Processor time since the host began, in ticks: what was worked, and what there was.
  public struct ProcessorTime: Hashable, Sendable {
    /// Ticks in which something ran.
    public var busy: UInt64
    /// All ticks of all processors.
    public var total: UInt64

    /// The share of the time since `earlier` in which something ran, in percent; nil if no time went by.
    public func percent(since earlier: Self) -> Int? {
      guard total > earlier.total, busy >= earlier.busy else { return nil }
      let share = Double(busy - earlier.busy) / Double(total - earlier.total)
      return Int((share * 100).rounded())
    }
  }

  /// Processor time until this moment.
  public var processor: ProcessorTime?
  /// Memory that is used and could not be given back at once, in percent.
  public var memoryPercent: Int?
  /// Bytes free on the file system.
  public var freeBytes: UInt64?
  /// Bytes of the file system.
  public var totalBytes: UInt64?

  /// The share of the file system that is free, in percent.
  public var freePercent: Int? {
    guard let freeBytes, let totalBytes, totalBytes > 0 else { return nil }
    return Int(Double(freeBytes) / Double(totalBytes) * 100)
  }

  /// A load of these numbers.
  public init(
    processor: ProcessorTime? = nil, memoryPercent: Int? = nil, freeBytes: UInt64? = nil,
    totalBytes: UInt64? = nil
  ) {
    (self.processor, self.memoryPercent) = (processor, memoryPercent)
    (self.freeBytes, self.totalBytes) = (freeBytes, totalBytes)
  }

  /// Looks at this host, and at the file system that `path` lies on. A few system calls.
  public static func now(at path: String) -> HostLoad {
    let space = try? FileSystem.system.space(at: path)
    return HostLoad(
      processor: processor(in: text("/proc/stat")),
      memoryPercent: memoryPercent(in: text("/proc/meminfo")), freeBytes: space?.free,
      totalBytes: space?.total)
  }

  /// Files below /proc have no size, so they are read until their end.
  private static func text(_ path: String) -> String {
    guard let file = try? File(path, .reading), let bytes = try? file.read(at: 0, count: 1 << 20)
    else { return "" }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// The first line of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal; what follows
  /// is part of the first two.
  static func processor(in text: String) -> ProcessorTime? {
    guard let line = text.split(separator: "\n").first(where: { $0.hasPrefix("cpu ") }) else {
      return nil
    }
    let ticks = line.split(separator: " ").dropFirst().prefix(8).compactMap { UInt64($0) }
    guard ticks.count >= 5 else { return nil }
    let total = ticks.reduce(0, &+)
    return ProcessorTime(busy: total &- ticks[3] &- ticks[4], total: total)
  }

  static func memoryPercent(in text: String) -> Int? {
    func kibibytes(_ field: String) -> Double? {
      text.split(separator: "\n").first { $0.hasPrefix(field + ":") }?
        .split(separator: " ").dropFirst().first.flatMap { Double($0) }
    }
    guard let total = kibibytes("MemTotal"), let available = kibibytes("MemAvailable"), total > 0
    else { return nil }
    return Int((max(0, total - available) / total * 100).rounded())
  }
}

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
