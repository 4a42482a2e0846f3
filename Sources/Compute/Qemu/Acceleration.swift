internal import FileIO
internal import Synchronization

/// Who executes the guest's instructions.
struct Acceleration: Hashable, Sendable {
  /// As QEMU calls it.
  let name: String
  /// The processor that the guest sees.
  let processor: String

  /// A program: works everywhere, ten times slower and more.
  static let interpreted = Acceleration(name: "tcg", processor: "max")
  /// The host's processor, with all it can do; and, where that can't be offered to a guest, with little.
  static let direct = [
    Acceleration(name: "kvm", processor: "host"), Acceleration(name: "kvm", processor: "qemu64"),
  ]

  var isDirect: Bool { name == "kvm" }
}

/// Finds out whether KVM works here: that there is a /dev/kvm says little, as it can start machines that never
/// get anywhere. A boot sector has to answer in time. Asked once for each program,
/// and again where it did not.
final class AccelerationProbe: Sendable {
  /// What was found, and in words.
  struct Result: Sendable {
    var acceleration: Acceleration
    var found: String
    var advice: String?
  }

  /// How long the boot sector may take; a working KVM needs a tenth of that.
  static let limit = Duration.seconds(2)
  /// What the program ends with when the boot sector has written 16 to the port.
  private static let answer: Int32 = 16 << 1 | 1

  /// How long it is believed that KVM does not work.
  private static let memory = Duration.seconds(60)

  private let known = Mutex<[String: (result: Result, time: ContinuousClock.Instant)]>([:])
  static let shared = AccelerationProbe()

  /// Blocks for some seconds at the most, where it is asked.
  func result(_ program: String) -> Result {
    let now = ContinuousClock.now
    let found = known.withLock { $0[program] }
    // A host that was busy, or whose module was not loaded, is asked again.
    if let found, found.result.acceleration.isDirect || now - found.time < Self.memory {
      return found.result
    }
    let result = Self.find(program)
    known.withLock { $0[program] = (result, now) }
    return result
  }

  private static func find(_ program: String) -> Result {
    guard FileSystem.system.exists("/dev/kvm") else {
      return Result(
        acceleration: .interpreted,
        found: "There is no /dev/kvm: machines run in emulation (TCG), many times slower.",
        advice:
          "Load the module 'kvm_intel' or 'kvm_amd', or switch virtualisation on in the firmware.")
    }
    for acceleration in Acceleration.direct {
      switch attempt(program, acceleration) {
      case .answered:
        return Result(
          acceleration: acceleration,
          found: "KVM works, with the processor '\(acceleration.processor)'.")
      case .silent:
        return Result(
          acceleration: .interpreted,
          found:
            "A boot sector did not answer under KVM within 2 s: machines run in emulation (TCG), many "
            + "times slower.",
          advice:
            "Use a host whose processor virtualises; KVM inside a virtual machine often does not.")
      case .refused: continue
      }
    }
    return Result(
      acceleration: .interpreted,
      found: "KVM can't be used: machines run in emulation (TCG), many times slower.",
      advice: "Let the service's user read and write /dev/kvm: add it to the group 'kvm'.")
  }

  private enum Outcome { case answered, silent, refused }

  /// Runs a machine with nothing but a boot sector; the program and whatever becomes of it are gone, or
  /// given up, when this returns.
  private static func attempt(_ program: String, _ acceleration: Acceleration) -> Outcome {
    let sector = "/tmp/.tidemark-boot-\(UInt64.random(in: 0...UInt64.max))"
    // mov dx, 0xf4; mov al, 16; out dx, al; hlt; and back to the hlt.
    let code: [UInt8] = [0xBA, 0xF4, 0x00, 0xB0, 0x10, 0xEE, 0xF4, 0xEB, 0xFD]
    let bytes = code + [UInt8](repeating: 0, count: 510 - code.count) + [0x55, 0xAA]
    do {
      try File(sector, .creating(permissions: 0o600)).write(bytes, at: 0)
      defer { try? FileSystem.system.remove(sector) }
      let deadline = ContinuousClock.now + limit
      var child = try ChildProcess(
        program,
        [
          program, "-no-user-config", "-nodefaults", "-display", "none", "-m", "16M",
          "-machine", "pc,accel=\(acceleration.name)", "-cpu", acceleration.processor,
          "-drive", "file=\(sector),format=raw,if=ide", "-no-reboot",
          "-device", "isa-debug-exit,iobase=0xf4,iosize=1",
        ], environment: QemuCompute.environment, .output)
      let status = try child.run(limit: 4096, until: deadline).status
      child.end()
      guard let status else { return .silent }
      return status == answer ? .answered : .refused
    } catch { return .refused }
  }
}
