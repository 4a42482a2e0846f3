internal import Bytes
internal import Operations

/// Which machine is to be started, as JSON.
public struct MachineStartDocument: Codable, Sendable {
  /// Whether that of the test failover is meant.
  public var test: Bool?
  /// Whether a machine is run on its disks from now on, though none was asked for before.
  public var boot: Bool?

  /// Starts a machine.
  public init(test: Bool, boot: Bool) { (self.test, self.boot) = (test, boot) }
}

/// Which machine is to be stopped, and how, as JSON.
public struct MachineStopDocument: Codable, Sendable {
  /// Whether that of the test failover is meant.
  public var test: Bool?
  /// Seconds that it has to power down; 90 if nothing is said.
  public var timeoutSeconds: Double?
  /// Whether its power is taken then.
  public var force: Bool?

  /// Stops a machine.
  public init(test: Bool, timeoutSeconds: Double?, force: Bool) {
    (self.test, self.timeoutSeconds, self.force) = (test, timeoutSeconds, force)
  }

  var request: MachineStopRequest {
    var request = MachineStopRequest(force: force ?? false)
    if let timeoutSeconds { request.seconds = timeoutSeconds }
    return request
  }
}

/// Whether the machine of a drill or a failover runs, and how it is reached, as JSON.
public struct PowerDocument: Codable, Sendable {
  /// A forwarded port, as JSON.
  public struct Port: Codable, Sendable {
    /// The TCP port on 127.0.0.1.
    public let host: Int
    /// The machine's TCP port.
    public let guest: Int
    /// Which adapter it leads to, counted from 0.
    public let adapter: Int
  }

  /// `none` or `qemu`.
  public let provider: String
  /// Whether it is a drill's.
  public let isTest: Bool
  /// `on`, `paused`, `off`, `died` or `silent`; where no machine is run, whether its disks can be written to.
  public let power: String
  /// The directory with its disks, while they are served.
  public let directory: String?
  /// How the server of its disks is: `answers`; `silent` if it does not; `stuck` if one request does not end.
  public let diskServer: String?
  /// How many have one of its disks open.
  public let openCount: Int?
  /// The process that runs it.
  public let process: Int?
  /// When it was started.
  public let started: String?
  /// The addresses that its adapters were seen with.
  public let addresses: [String]
  /// The Unix socket of its serial console; none unless a machine runs, as what follows.
  public let serialSocket: String?
  /// The Unix socket of its screen and keyboard (VNC).
  public let displaySocket: String?
  /// The file with the last of what it wrote to its serial console.
  public let consoleLog: String?
  /// The forwarded ports.
  public let ports: [Port]?
  /// What a person should know.
  public let notes: [String]

  init(_ power: MachinePower) {
    (provider, isTest, self.power) = (power.provider, power.isTest, power.state.rawValue)
    (directory, diskServer, openCount) = (power.directory, power.diskServer, power.openCount)
    (process, started) = (power.process.map(Int.init), power.started?.iso8601)
    (addresses, notes) = (power.addresses, power.notes)
    let found = power.connections
    (serialSocket, displaySocket) = (found?.serialSocket, found?.displaySocket)
    consoleLog = found?.consoleLog
    ports = found?.ports.map { port in
      Port(host: Int(port.host), guest: Int(port.guest), adapter: port.adapter)
    }
  }
}

/// What a machine wrote to its serial console, as JSON.
public struct ConsoleDocument: Codable, Sendable {
  /// The last of it; bytes that are no text are replaced.
  public let text: String

  init(_ bytes: [UInt8]) { text = String(decoding: bytes, as: UTF8.self) }
}
