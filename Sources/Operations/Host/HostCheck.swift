internal import FileIO
internal import FoundationEssentials
public import Vault

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
  }

  /// What was looked at: `cores`, `memory`, `space`, `fuse`, `clock`, or `port` and its number.
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

/// Looks whether a host can serve a vault.
public struct HostCheck: Sendable {
  /// Seconds the clock may be off (as the clocks of agent and service may be when one enrols).
  public static let clockLimit: Int64 = 300
  /// Bytes of memory with which the service works as it should.
  public static let memoryWanted: UInt64 = 1 << 30
  /// Bytes of memory without which it is not started.
  public static let memoryNeeded: UInt64 = 256 << 20
  /// Bytes free in the vault below which an operator should look.
  public static let spaceWanted: UInt64 = 1 << 30

  /// Whether the mount is to be served, for which FUSE is needed.
  public var needsMount: Bool

  /// A check for a service of this kind.
  public init(needsMount: Bool) { self.needsMount = needsMount }

  /// What can be told without a network. Blocks for as long as a few system calls take.
  public func findings(for vault: Vault) -> [HostFinding] {
    let process = ProcessInfo.processInfo
    return [
      Self.cores(process.activeProcessorCount), Self.memory(process.physicalMemory),
      Self.space(of: vault), fuse(isThere: FileSystem.system.exists("/dev/fuse")),
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

  static func space(of vault: Vault) -> HostFinding {
    do throws(VaultError) {
      let (free, total) = try vault.space()
      let found = "\(free >> 20) of \(total >> 20) MiB free"
      guard free < spaceWanted else { return HostFinding("space", .ok, found) }
      return HostFinding(
        "space", .warning, found,
        advice: "Make room where '\(vault.path)' lies: a full vault stops replication.")
    } catch {
      return HostFinding("space", .refused, error.message, advice: "Mend the file system.")
    }
  }

  func fuse(isThere: Bool) -> HostFinding {
    guard !isThere else { return HostFinding("fuse", .ok, "/dev/fuse is there") }
    return HostFinding(
      "fuse", needsMount ? .refused : .warning, "/dev/fuse is missing",
      advice: "Load it with 'modprobe fuse'; without it no recovery point can be mounted here.")
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
        + "more than \(clockLimit / 60) minutes off, no agent can enrol.")
  }
}
