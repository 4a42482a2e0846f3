internal import Bytes
internal import Catalog
internal import Operations

/// Something that is wrong now, as JSON.
public struct CurrentErrorDocument: Codable, Sendable {
  /// What it impacts, as JSON.
  public struct Impact: Codable, Sendable {
    /// The machine or relay; none for the service itself.
    public let subject: String?
    /// What it is: `machine`, or `server` for the service itself and relays.
    public let type: String
    /// What is wrong with it.
    public let message: String
    /// `warning` or `critical`.
    public let severity: String
    /// Since when.
    public let since: String
  }

  /// What kind of error it is.
  public let code: String
  /// `warning` or `critical`: the worst of its impacts.
  public let severity: String
  /// How many machines and servers it impacts.
  public let count: Int
  /// What to do about it.
  public let advice: String
  /// What it impacts, those of longest standing first.
  public let impacts: [Impact]

  init(_ group: ErrorGroup) {
    (code, severity, count) = (group.code, group.severity.rawValue, group.count)
    advice = group.advice
    impacts = group.errors.map { error in
      Impact(
        subject: error.subject.isEmpty ? nil : error.subject, type: error.kind.rawValue,
        message: error.message, severity: error.severity.rawValue, since: error.since.iso8601)
    }
  }
}

/// How everything is, as JSON.
public struct StatusDocument: Codable, Sendable {
  /// How busy the service's host is, as JSON: percent of each.
  public struct Host: Codable, Sendable {
    /// Processor time that was used in the last 15 minutes.
    public let processorPercent: Int?
    /// Memory that was used in the last 15 minutes.
    public let memoryPercent: Int?
    /// Of the vault's file system that is free.
    public let freePercent: Int?
  }

  /// `healthy`, `warning` or `critical`: the worst of everything.
  public let health: String
  /// What is wrong now: the most severe first, then what impacts most.
  public let errors: [CurrentErrorDocument]
  /// All machines, protected or not, by name.
  public let machines: [MachineDocument]
  /// How busy the service's host is.
  public let host: Host

  init(_ service: VaultService, at now: Timestamp) throws(OperationError) {
    let overviews = try service.overviews(at: now)
    health = service.overallHealth(of: overviews).rawValue
    errors = ErrorGroup.groups(of: service.health.current).map { CurrentErrorDocument($0) }
    machines = overviews.map { MachineDocument($0) }
    let percents = service.hostPercents
    host = Host(
      processorPercent: percents.processor, memoryPercent: percents.memory,
      freePercent: percents.free)
  }
}

/// How the replication of a machine goes and went, as JSON.
public struct MachineHealthDocument: Codable, Sendable {
  /// What changed on a disk, as JSON.
  public struct Churn: Codable, Sendable {
    /// Which disk.
    public let disk: Int
    /// Bytes of pages found changed.
    public let changedBytes: Int64
  }

  /// A while of the past, as JSON.
  public struct Sample: Codable, Sendable {
    /// When it ended.
    public let time: String
    /// How long it was.
    public let seconds: Int64
    /// The age of the newest recovery point at its end.
    public let rpoSeconds: Int64?
    /// What changed, disk by disk.
    public let churn: [Churn]
    /// Bytes that came from the agent.
    public let uploadedBytes: Int64
    /// Seconds that the agent waited for its disks.
    public let readingSeconds: Double
    /// Seconds that it compressed.
    public let compressingSeconds: Double
    /// Seconds that it waited for the link.
    public let linkSeconds: Double
    /// Seconds that the vault took to make things durable.
    public let vaultSeconds: Double

    init(_ sample: HealthSample) {
      (time, seconds, rpoSeconds) = (sample.time.iso8601, sample.seconds, sample.rpoSeconds)
      churn = sample.churn.map { Churn(disk: $0.disk, changedBytes: $0.bytes) }
      uploadedBytes = sample.uploaded
      func length(_ nanoseconds: Int64) -> Double { Double(nanoseconds / 1_000_000) / 1000 }
      (readingSeconds, compressingSeconds) = (length(sample.reading), length(sample.compressing))
      // What the agent waited for is the link as far as it was not the vault.
      linkSeconds = length(max(0, sample.sending - sample.storing))
      vaultSeconds = length(sample.storing)
    }
  }

  /// The machine.
  public let machine: MachineDocument
  /// What is wrong with it.
  public let errors: [CurrentErrorDocument]
  /// Since the last of the samples.
  public let present: Sample
  /// The past, the oldest first: one every five minutes, for a week.
  public let samples: [Sample]
  /// What most of the time went to lately: `reading`, `compressing`, `link` or `vault`; none if there
  /// was nothing to do.
  public let bottleneck: String?

  init(_ name: String, in service: VaultService, since start: Timestamp) throws(OperationError) {
    let overview = try service.overview(of: name)
    let history = try service.history(of: name, since: start)
    machine = MachineDocument(overview)
    errors = ErrorGroup.groups(of: overview.errors).map { CurrentErrorDocument($0) }
    present = Sample(history.present)
    samples = history.samples.map { Sample($0) }
    bottleneck = Self.bottleneck(of: history.samples + [history.present])
  }

  /// Seconds of the past that tell of a bottleneck: a few samples.
  static let recentSeconds: Int64 = 1000

  /// What most of the time went to in the newest samples; nil if there was nothing to do.
  static func bottleneck(of samples: [HealthSample]) -> String? {
    let recent = samples.suffix(4).map { Sample($0) }
    let parts: [(String, Double)] = [
      ("reading", recent.reduce(0) { $0 + $1.readingSeconds }),
      ("compressing", recent.reduce(0) { $0 + $1.compressingSeconds }),
      ("link", recent.reduce(0) { $0 + $1.linkSeconds }),
      ("vault", recent.reduce(0) { $0 + $1.vaultSeconds }),
    ]
    return parts.filter { $0.1 > 0 }.max { $0.1 < $1.1 }?.0
  }
}
