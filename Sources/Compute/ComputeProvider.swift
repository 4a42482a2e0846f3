/// Turns disks into a running machine, and finds it again.
///
/// What runs outlives this process: everything that is needed to find it lies in the plan's directory, so all
/// operations but the first two take that directory alone, and any instance, also of a later run of the
/// service, can do them. At most one machine runs in a directory. All calls block, and may be made from
/// several threads; those that change the same machine must not run at once.
public protocol ComputeProvider: Sendable {
  /// Which provider this is.
  var kind: ComputeKind { get }

  /// What this host lacks to run a machine; each thing that was looked at, and what to do about it.
  ///
  /// Blocks for some seconds at the most. With a plan, what only that machine needs is looked at too; its
  /// disks and its directory need not be there yet.
  func check(_ plan: MachinePlan?) -> [ComputeFinding]

  /// Powers a machine up; one that runs already is left as it is, but for one that was halted because its disk
  /// was full, which goes on.
  ///
  /// Blocks for as long as the machine takes to come to life, `ComputeLimits.start` at the most; the guest
  /// boots after that. Where it fails, nothing of it runs.
  /// - Throws: `.missing` if the host lacks what it needs, `.plan` if the plan can't be carried out, `.failed`
  ///   with the last lines of what it said if it died at once.
  func start(_ plan: MachinePlan) throws(ComputeError)

  /// Powers up again what was powered down in a directory, as it was asked for last; nothing if there is no
  /// machine. Else as `start`.
  func startAgain(in directory: String) throws(ComputeError)

  /// What is there of a machine, as it says itself. Also keeps the console log within its limit, so it should
  /// be called now and then, at least every minute.
  ///
  /// - Returns: nil if no machine was started in this directory, or it was ended.
  /// - Throws: `.unresponsive` if it runs and does not answer.
  func observe(in directory: String) throws(ComputeError) -> MachineObservation?

  /// Powers a machine down: asks the guest, and if it has not done so in time and `force` is set, takes its
  /// power. Nothing happens if it is off, or gone. Its files stay.
  ///
  /// - Parameters:
  ///   - directory: that of the machine's plan.
  ///   - limit: how long the guest has.
  ///   - force: whether its power is taken then.
  ///   - isCancelled: asked now and then; once it is true, nothing more is waited for.
  /// - Returns: how it went down.
  /// - Throws: `.timeout` if the guest did not go down in time and `force` is not set, `.cancelled`: it
  ///   still runs, and perhaps goes down later.
  @discardableResult
  func stop(
    in directory: String, within limit: Duration, force: Bool,
    isCancelled: @Sendable () -> Bool
  ) throws(ComputeError) -> MachineStop

  /// Takes the power of whatever runs in a directory, and removes the directory with all that is in it.
  /// Nothing happens if there is none. The disks are not touched.
  ///
  /// - Throws: `.failed` if something of it stays; it may be called again.
  func end(in directory: String) throws(ComputeError)

  /// How to reach the console and the ports of a machine; nil if none runs there.
  func connections(in directory: String) throws(ComputeError) -> MachineConnections?

  /// The last of what the machine wrote to its serial console, also after it went down, `limit` bytes at the
  /// most; empty if there is nothing.
  func console(in directory: String, limit: Int) throws(ComputeError) -> [UInt8]
}

extension ComputeProvider {
  /// Powers a machine down, and can't be cancelled.
  @discardableResult
  public func stop(
    in directory: String, within limit: Duration = ComputeLimits.stop, force: Bool = false
  ) throws(ComputeError) -> MachineStop {
    try stop(in: directory, within: limit, force: force, isCancelled: { false })
  }
}

/// The providers there are.
public enum ComputeKind: String, Codable, Hashable, Sendable, CaseIterable {
  /// Disks only: who uses them is nobody's business.
  case none
  /// QEMU on this host.
  case qemu
}

/// How long a provider waits.
public enum ComputeLimits {
  /// For a machine to come to life.
  public static let start = Duration.seconds(20)
  /// For an answer of a machine that runs.
  public static let answer = Duration.seconds(5)
  /// For a guest to power itself down, if nobody says otherwise.
  public static let stop = Duration.seconds(90)
}

/// How a machine went down.
public enum MachineStop: String, Codable, Hashable, Sendable, CaseIterable {
  /// It was off already.
  case wasOff
  /// The guest powered it down.
  case clean
  /// Its power was taken.
  case forced
  /// It is gone, and nobody had powered it down: what it had not made durable is lost.
  case died
}
