public import Bytes
public import Replication

/// When a process server's load or silence is an alarm; the numbers are those of Azure Site Recovery.
public enum ServerHealth {
  /// Something that is not as it should be.
  public struct Alarm: Hashable, Sendable {
    /// How bad it is.
    public let verdict: HostLimits.Verdict
    /// What was found, and the limit.
    public let message: String
  }

  /// Seconds of pending upload above which there is a warning.
  public static let pendingWarning: UInt32 = 30 * 60
  /// Seconds of pending upload above which it is critical.
  public static let pendingCritical: UInt32 = 45 * 60
  /// Seconds of silence above which a server is critical.
  public static let silence: Int64 = 15 * 60

  /// What is wrong with a load.
  public static func alarms(of load: ServerLoad) -> [Alarm] {
    let limits = HostLimits()
    var alarms: [Alarm] = []
    func add(_ verdict: HostLimits.Verdict, _ message: String) {
      if verdict > .ok { alarms.append(Alarm(verdict: verdict, message: message)) }
    }
    let (processor, memory) = (percent(load.processor), percent(load.memory))
    add(limits.verdict(busy: processor), "the processors are \(processor) % busy")
    add(limits.verdict(busy: memory), "\(memory) % of the memory is in use")
    let free = cacheFree(load)
    add(limits.verdict(free: free), "\(free) % of the cache is free")
    let minutes = load.pendingSeconds / 60
    add(
      load.pendingSeconds > pendingCritical
        ? .critical : load.pendingSeconds > pendingWarning ? .warning : .ok,
      "what is in the cache takes \(minutes) minutes to upload")
    return alarms
  }

  /// What is wrong with when a server was heard last.
  public static func alarm(lastContact: Timestamp?, now: Timestamp) -> Alarm? {
    guard let lastContact else {
      return Alarm(verdict: .critical, message: "it has never been heard of")
    }
    let silent = now.seconds - lastContact.seconds
    guard silent > silence else { return nil }
    return Alarm(verdict: .critical, message: "it was not heard of for \(silent / 60) minutes")
  }

  /// The share of the cache that is free, in percent; a relay that tells nonsense has no more than all.
  public static func cacheFree(_ load: ServerLoad) -> Int {
    load.cacheSize == 0
      ? 0 : Int(min(1, Double(load.cacheFree) / Double(load.cacheSize)) * 100)
  }

  /// Thousandths as percent; a part counts as a whole, so that 95.1 is above 95.
  private static func percent(_ thousandths: UInt32) -> Int { (Int(thousandths) + 9) / 10 }
}
