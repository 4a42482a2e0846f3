internal import FileIO
internal import Glibc

/// A mounted file system whose power can fail under any program that runs on it.
///
/// It serves a copy of a directory from memory; when it ends, that directory gets what a restart
/// of the machine would find. To go on, start another one on the same directory. Needs FUSE; the
/// faults are those of `SimulatedDisk`.
public final class PowerLossMount: Sendable {
  /// Where it is mounted.
  public let path: String
  private let program: Program
  private let directory: TemporaryDirectory

  /// What goes wrong, besides `losePower`.
  public struct Faults: Sendable {
    /// The power fails in the middle of the changing call (write, sync, rename, …) after so many.
    public var powerOffAfter: Int?
    /// The sync after so many others fails with EIO.
    public var failSyncAfter: Int?
    /// Room for files, in bytes.
    public var capacity: UInt64?
    /// How much a power loss takes; nil lets the seed decide.
    public var loss: Loss?

    /// No faults.
    public init() {}
  }

  /// Serves a copy of `backing`, and returns once it is mounted.
  ///
  /// - Parameters:
  ///   - backing: a directory; nobody may use it while it is served.
  ///   - seed: decides what a power loss takes.
  ///   - faults: what goes wrong.
  ///   - options: mount options, such as `allow_other`.
  /// - Throws: `ProgramFailure` if it is not mounted within half a minute.
  public init(
    backing: String, seed: UInt64, faults: Faults = Faults(), options: [String] = []
  ) throws {
    directory = try TemporaryDirectory("power-loss")
    path = directory.path
    var arguments = ["--backing", backing, "--seed", String(seed)]
    let values: [(String, String?)] = [
      ("--power-off-after", faults.powerOffAfter.map { String($0) }),
      ("--fail-sync-after", faults.failSyncAfter.map { String($0) }),
      ("--capacity", faults.capacity.map { String($0) }), ("--loss", faults.loss.map { "\($0)" }),
    ]
    for case (let name, let value?) in values { arguments += [name, value] }
    for option in options { arguments += ["-o", option] }
    program = try Program(Product.path("PowerLossMount"), arguments + [path])
    let isMounted = Program.poll(seconds: 30) {
      program.outputSoFar.output.contains("mounted") || !program.isRunning
    }
    guard isMounted, program.isRunning else {
      throw ProgramFailure(command: "PowerLossMount", result: program.wait(seconds: 0))
    }
  }

  deinit {
    program.killGroup()
    _ = program.wait(seconds: 10)
    umount2(path, 2)  // MNT_DETACH, where it could not do so itself
  }

  /// Whether it still serves: the power has not failed.
  public var isOn: Bool { program.isRunning }

  /// Lets the power fail now. Programs that use the mount get errors and must be ended by the
  /// caller; afterwards the directory holds what a restart finds.
  public func losePower() throws {
    program.signal(SIGUSR1)
    try waitForPowerLoss()
  }

  /// Waits for a power loss that `Faults.powerOffAfter` brings.
  public func waitForPowerLoss(seconds: Double = 120) throws {
    try finish(saying: "power lost", seconds: seconds)
  }

  /// Ends the service in order: the directory gets everything.
  ///
  /// - Throws: `ProgramFailure` if the power had failed before.
  public func stop() throws {
    program.signal(SIGTERM)
    try finish(saying: "stopped", seconds: 120)
  }

  private func finish(saying word: String, seconds: Double) throws {
    let result = program.wait(seconds: seconds)
    guard result.succeeded, result.output.contains(word) else {
      throw ProgramFailure(command: "PowerLossMount", result: result)
    }
  }
}
