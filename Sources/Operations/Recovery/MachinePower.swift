public import Bytes
internal import Compute
internal import FileIO
internal import FoundationEssentials

/// Whether the machine of a drill or a failover runs, and how it is reached.
public struct MachinePower: Sendable {
  /// Whether it runs.
  public enum State: String, Sendable, CaseIterable {
    /// It runs; where no machine is run, its disks can be written to.
    case on
    /// It was halted by something outside, or by an error of its disks.
    case paused
    /// It is off; where no machine is run, its disks refuse writes, or are not served.
    case off
    /// It ran, and is gone without having been powered down.
    case died
    /// It runs, and does not answer.
    case silent
  }

  /// A port of this host that leads to one of the machine.
  public struct Port: Sendable {
    /// The TCP port on 127.0.0.1.
    public let host: UInt16
    /// The machine's TCP port.
    public let guest: UInt16
    /// Which adapter it leads to, counted from 0.
    public let adapter: Int
  }

  /// How to reach a machine that runs.
  public struct Connections: Sendable {
    /// The Unix socket of its serial console, which takes one client at a time.
    public let serialSocket: String
    /// The Unix socket of its screen and keyboard (VNC).
    public let displaySocket: String
    /// The file with the last of what it wrote to its serial console.
    public let consoleLog: String
    /// The forwarded ports.
    public let ports: [Port]
  }

  /// The compute provider: `none` or `qemu`.
  public let provider: String
  /// Whether it is a drill's.
  public let isTest: Bool
  /// Whether it runs.
  public let state: State
  /// The directory with its disks, while they are served.
  public let directory: String?
  /// How the server of its disks is: `answers`, `silent` or `stuck`; nil while they are not served.
  public let diskServer: String?
  /// How many have one of its disks open; nil if nobody tells.
  public let openCount: Int?
  /// The process that runs it.
  public let process: Int32?
  /// When it was started.
  public let started: Timestamp?
  /// The addresses that its adapters were seen with.
  public let addresses: [String]
  /// How it is reached; nil unless a machine runs.
  public let connections: Connections?
  /// What a person should know.
  public let notes: [String]

  /// A machine that runs and does not answer, for a reason.
  init(silent reason: String, provider: ComputeKind, served: ServedBranch?, isTest: Bool) {
    (self.provider, self.isTest, state) = (provider.rawValue, isTest, .silent)
    notes = [reason] + [served?.trouble].compactMap { $0 }
    (directory, openCount) = (served?.directory, served?.knownOpenCount)
    diskServer = served?.server.word
    (process, started, addresses, connections) = (nil, nil, [], nil)
  }

  init(
    _ seen: MachineObservation?, _ connections: MachineConnections?, provider: ComputeKind,
    served: ServedBranch?, isTest: Bool
  ) {
    self.provider = provider.rawValue
    self.isTest = isTest
    directory = served?.directory
    openCount = served?.knownOpenCount
    diskServer = served?.server.word
    (process, started) = (seen?.process, seen?.started)
    notes = (seen?.notes ?? []) + [served?.trouble].compactMap { $0 }
    addresses = (seen?.adapters ?? []).compactMap { adapter in
      switch adapter.address {
      case .used(let address), .leased(let address): address.description
      case .notSeen, .notObserved: nil
      }
    }
    switch seen?.power {
    case .on: state = .on
    case .paused: state = .paused
    case .died: state = .died
    case .off: state = .off
    case nil: state = provider == .none && served?.isFrozen == false ? .on : .off
    }
    self.connections = connections.map { found in
      Connections(
        serialSocket: found.serialSocket, displaySocket: found.displaySocket,
        consoleLog: found.consoleLog,
        ports: found.ports.map { Port(host: $0.host, guest: $0.guest, adapter: $0.adapter) })
    }
  }
}

/// How a machine went down, as the result of the job that stopped it.
public struct MachineStopReport: Codable, Sendable {
  /// `wasOff`, `clean`, `forced` or `died`.
  public let stop: String

  init(stop: String) { self.stop = stop }

  /// What is kept of a job; nil if that is something else.
  public init?(json: String?) {
    guard let json, let report = try? JSONDecoder().decode(Self.self, from: Data(json.utf8)) else {
      return nil
    }
    self = report
  }

  var json: String? {
    (try? JSONEncoder().encode(self)).map { String(decoding: $0, as: UTF8.self) }
  }
}

extension ServedBranch {
  /// One that does not answer tells no number.
  fileprivate var knownOpenCount: Int? {
    if case .silent = server { return nil }
    return openCount
  }
}

extension ServedBranch.Server {
  fileprivate var word: String {
    switch self {
    case .answers: "answers"
    case .silent: "silent"
    case .stuck: "stuck"
    }
  }
}

/// How a machine is to be stopped.
public struct MachineStopRequest: Sendable {
  /// Seconds that its guest has to power down; where no machine is run, that whoever has its disks open has
  /// to close them.
  public var seconds: Double
  /// Whether its power is taken then; where no machine is run, its disks are taken from who has them open.
  public var force: Bool

  /// Seconds that may be asked for.
  public static let limits = 1.0...3600.0

  /// Stops a machine so.
  public init(seconds: Double = 90, force: Bool = false) {
    (self.seconds, self.force) = (seconds, force)
  }
}
