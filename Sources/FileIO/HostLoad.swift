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

    /// Time of these numbers.
    public init(busy: UInt64, total: UInt64) { (self.busy, self.total) = (busy, total) }

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
