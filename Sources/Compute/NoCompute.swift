/// Runs nothing: a machine's disks are there, and whoever wants to uses them.
///
/// What `stop` and `start` of such a machine mean is done by who serves its disks: `stop` waits until nobody
/// has them open, writes everything out and refuses writes until `start`. There is nothing to do here.
public struct NoCompute: ComputeProvider {
  /// Builds the provider.
  public init() {}

  /// `none`.
  public var kind: ComputeKind { .none }

  /// Nothing is needed.
  public func check(_ plan: MachinePlan?) -> [ComputeFinding] {
    [ComputeFinding("provider", .ok, "No machine is run: the disks are served, and that is all.")]
  }

  /// - Throws: always `.unsupported`.
  public func start(_ plan: MachinePlan) throws(ComputeError) {
    throw ComputeError(
      .unsupported,
      "The compute provider is 'none': no machine is run. Use the disks where they are mounted, or set "
        + "the provider to 'qemu'.")
  }

  /// There never is a machine.
  public func startAgain(in directory: String) {}

  /// There never is a machine.
  public func observe(in directory: String) -> MachineObservation? { nil }

  /// There never is a machine.
  public func stop(
    in directory: String, within limit: Duration, force: Bool, isCancelled: @Sendable () -> Bool
  ) -> MachineStop { .wasOff }

  /// There is nothing to end.
  public func end(in directory: String) {}

  /// There never is a machine.
  public func connections(in directory: String) -> MachineConnections? { nil }

  /// There never is a machine.
  public func console(in directory: String, limit: Int) -> [UInt8] { [] }
}
