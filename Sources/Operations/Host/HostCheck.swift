public import FileIO
internal import FoundationEssentials

/// One thing a host must have, and whether it does.
public struct HostFinding: Sendable {
  /// What a finding means for a service on this host.
  public enum Verdict: String, Sendable, CaseIterable {
    /// It is as it should be.
    case ok
    /// The service works, but not as well as it should.
    case warning
    /// The service can't work.
    case refused
    /// It can't be known.
    case notChecked
  }

  /// What was looked at: `cores`, `memory`, `space`, `fuse`, `kernel`, `clock`, or `port` and its number.
  public let subject: String
  /// What it means.
  public let verdict: Verdict
  /// What was found.
  public let found: String
  /// What to do about it; nil if nothing is to be done.
  public let advice: String?

  /// A finding of these properties.
  public init(_ subject: String, _ verdict: Verdict, _ found: String, advice: String? = nil) {
    (self.subject, self.verdict, self.found, self.advice) = (subject, verdict, found, advice)
  }
}

/// Looks whether a host can serve a vault, or be a relay.
public struct HostCheck: Sendable {
  /// Seconds the clock may be off (as the clocks of agent and service may be when one enrols).
  public static let clockLimit: Int64 = 300
  /// Bytes of memory with which the service works as it should.
  public static let memoryWanted: UInt64 = 1 << 30
  /// Bytes of memory without which it is not started.
  public static let memoryNeeded: UInt64 = 256 << 20
  /// Bytes free in the vault below which an operator should look.
  public static let spaceWanted: UInt64 = 1 << 30

  /// What a host is to be.
  public enum Purpose: Sendable {
    /// A vault's service; for the mount FUSE is needed.
    case service(withMount: Bool)
    /// A relay whose cache may hold `limit` bytes and holds `kept` of them already.
    case relay(limit: UInt64, kept: UInt64)
  }

  /// What the host is to be.
  public let purpose: Purpose

  /// A check for a host that is to be this.
  public init(for purpose: Purpose) { self.purpose = purpose }

  /// What can be told without a network of a host whose vault or cache lies at a path. Blocks for as long as
  /// a few system calls take.
  public func findings(
    at path: String, on system: FileSystem = .system
  ) -> [HostFinding] {
    let process = ProcessInfo.processInfo
    let common = [
      Self.cores(process.activeProcessorCount), Self.memory(process.physicalMemory),
      space(at: path, on: system),
    ]
    guard case .service(let withMount) = purpose else { return common }
    return common + [
      Self.fuse(isThere: system.exists("/dev/fuse"), isNeeded: withMount),
      Self.kernel(RunningProcess.kernelRelease),
    ]
  }

  static func cores(_ count: Int) -> HostFinding {
    count >= 2
      ? HostFinding("cores", .ok, "\(count)")
      : HostFinding(
        "cores", .warning, "\(count)",
        advice: "Give this host 2 or more: compression and the network share them.")
  }

  static func memory(_ bytes: UInt64) -> HostFinding {
    let found = "\(bytes >> 20) MiB"
    if bytes >= memoryWanted { return HostFinding("memory", .ok, found) }
    return HostFinding(
      "memory", bytes >= memoryNeeded ? .warning : .refused, found,
      advice: "Give this host \(memoryWanted >> 20) MiB or more.")
  }

  private func space(at path: String, on system: FileSystem) -> HostFinding {
    do throws(IOError) {
      let (free, total) = try system.space(at: path)
      return space(free, of: total, at: path)
    } catch {
      return HostFinding("space", .refused, error.description, advice: "Mend the file system.")
    }
  }

  func space(_ free: UInt64, of total: UInt64, at path: String) -> HostFinding {
    let found = "\(free >> 20) of \(total >> 20) MiB free"
    switch purpose {
    case .service:
      guard free < Self.spaceWanted else { return HostFinding("space", .ok, found) }
      return HostFinding(
        "space", .warning, found,
        advice: "Make room where '\(path)' lies: a full vault stops replication.")
    case .relay(let limit, let kept):
      let rest = limit - min(limit, kept)
      guard free < rest else { return HostFinding("space", .ok, found) }
      return HostFinding(
        "space", .warning, "\(found), but the cache may take \(rest >> 20) MiB more",
        advice:
          "Make room where '\(path)' lies, or give the cache less with --cache-size: agents are "
          + "held back where it can't grow.")
    }
  }

  static func fuse(isThere: Bool, isNeeded: Bool) -> HostFinding {
    guard !isThere else { return HostFinding("fuse", .ok, "/dev/fuse is there") }
    return HostFinding(
      "fuse", isNeeded ? .refused : .warning, "/dev/fuse is missing",
      advice: "Load it with 'modprobe fuse'; without it no recovery point can be mounted here.")
  }

  /// Kernels hand out again what a process that died was to answer since 6.9 (FUSE_NOTIFY_RESEND).
  static func kernel(_ release: (major: Int, minor: Int)?) -> HostFinding {
    guard let release else { return HostFinding("kernel", .notChecked, "it does not tell") }
    let found = "Linux \(release.major).\(release.minor)"
    guard release < (6, 9) else { return HostFinding("kernel", .ok, found) }
    return HostFinding(
      "kernel", .warning, found,
      advice:
        "Use Linux 6.9 or later where drills and failed-over machines are to run: before it, what a "
        + "disk server that is killed was just asked for ends in an error instead of being answered by "
        + "its successor.")
  }

  /// What a clock's offset means: nanoseconds that a time source is ahead of this host.
  public static func clock(offset: Int64?, source: String) -> HostFinding {
    guard let offset else {
      return HostFinding(
        "clock", .ok, "not compared: the time source '\(source)' did not answer",
        advice: "Name one that answers with --time-source, or keep the clock right by other means.")
    }
    let magnitude = offset.magnitude
    let found =
      "\(magnitude / 1_000_000) ms \(offset < 0 ? "ahead of" : "behind") '\(source)'"
    guard magnitude > UInt64(clockLimit) * 1_000_000_000 else {
      return HostFinding("clock", .ok, found)
    }
    return HostFinding(
      "clock", .refused, found,
      advice: "Set the clock, and keep it right with a daemon such as chrony or systemd-timesyncd: "
        + "agents and services that are more than \(clockLimit / 60) minutes apart refuse each other."
    )
  }
}
