public import Bytes
public import Replication
internal import Synchronization
internal import Vault

/// What the agent of a machine did since the service began, as far as it told or was seen.
public struct MachineActivity: Sendable {
  /// Sums of everything that was told.
  public struct Sums: Hashable, Sendable {
    /// Bytes of pages found changed, by disk.
    public var changed: [DiskNumber: UInt64] = [:]
    /// Bytes of its disks that it looked at.
    public var examined: UInt64 = 0
    /// Bytes that came from the agent.
    public var uploaded: UInt64 = 0
    /// Nanoseconds it waited for its disks.
    public var reading: UInt64 = 0
    /// Nanoseconds it compressed.
    public var compressing: UInt64 = 0
    /// Nanoseconds it waited for the link or the vault.
    public var sending: UInt64 = 0
    /// Nanoseconds the vault took to make things durable.
    public var storing: UInt64 = 0

    init() {}
  }

  /// When it was last heard of.
  public var contact: Timestamp?
  /// What it told last.
  public var report: Report?
  /// Hellos that came.
  public var hellos = 0
  /// Reports that came.
  public var reports = 0
  /// The newest recovery point.
  public var newestPoint: Timestamp?
  /// The newest app-consistent recovery point.
  public var newestApplicationPoint: Timestamp?
  /// Sums since the service began.
  public var sums = Sums()

  init() {}

  /// Takes over a report. Its numbers count from the beginning of a cycle: what is lower than before
  /// belongs to another one.
  mutating func take(_ new: Report) {
    let old = report
    func more(_ value: UInt64, _ before: UInt64?) -> UInt64 {
      let before = before ?? 0
      return value >= before ? value - before : value
    }
    sums.examined &+= more(new.examined, old?.examined)
    sums.reading &+= more(new.reading, old?.reading)
    sums.compressing &+= more(new.compressing, old?.compressing)
    sums.sending &+= more(new.sending, old?.sending)
    for disk in new.disks {
      let before = old?.disks.first { $0.number == disk.number }
      sums.changed[disk.number, default: 0] &+= more(disk.changed, before?.changed)
    }
    report = new
    reports += 1
  }
}

/// What agents did, machine by machine, in memory. Safe from any thread, and never blocks for long.
public final class ActivityBook: Sendable {
  private let machines = Mutex<[Identifier: MachineActivity]>([:])

  init() {}

  /// What is known of a machine; nothing if its agent has not been heard of.
  public func activity(of machine: Identifier) -> MachineActivity {
    machines.withLock { $0[machine] ?? MachineActivity() }
  }

  func change(_ machine: Identifier, _ body: (inout MachineActivity) -> Void) {
    machines.withLock { body(&$0[machine, default: MachineActivity()]) }
  }

  /// The agent was heard of.
  func heard(of machine: Identifier, at now: Timestamp) {
    change(machine) { $0.contact = now }
  }

  /// A group of so many bytes is durable.
  func stored(_ bytes: Int, point: RecoveryPoint?, of machine: Identifier) {
    change(machine) { activity in
      activity.sums.uploaded &+= UInt64(max(0, bytes))
      if let point { activity.note(point) }
    }
  }

  /// Forgets a machine.
  func forget(_ machine: Identifier) { machines.withLock { $0[machine] = nil } }
}

extension MachineActivity {
  mutating func note(_ point: RecoveryPoint) {
    newestPoint = max(newestPoint ?? point.time, point.time)
    guard point.kind == .application else { return }
    newestApplicationPoint = max(newestApplicationPoint ?? point.time, point.time)
  }
}

extension Duration {
  /// Whole nanoseconds; 0 for what is less than nothing.
  var nanoseconds: UInt64 {
    let (seconds, attoseconds) = components
    guard seconds >= 0, attoseconds >= 0 else { return 0 }
    return UInt64(seconds) &* 1_000_000_000 &+ UInt64(attoseconds / 1_000_000_000)
  }
}
