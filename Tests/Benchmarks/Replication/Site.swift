internal import FileIO
internal import Foundation
internal import Support

/// A vault with a service that agents of this machine reach over TLS, until the value ends.
final class Site {
  let path: String
  let vault: String
  private let service: Program
  /// Where the socket lies: its path must be short.
  private let sockets: TemporaryDirectory
  private(set) var httpsPort = 0
  private(set) var replicationPort = 0

  struct NoService: Error, CustomStringConvertible {
    let result: Program.Result
    var description: String { "tidemark serve does not serve: \(result.report)" }
  }

  private struct Notice: Decodable {
    let httpsPort: Int
    let replicationPort: Int
  }

  /// Makes a vault in a directory of its own, and starts its service.
  init(at path: String) throws {
    (self.path, vault) = (path, path + "/vault")
    try FileSystem.system.makeDirectory(path)
    sockets = try TemporaryDirectory("site", in: "/tmp")
    let environment = Self.environment(path)
    let made = try Program(Product.tidemark, ["vault", "init", vault], environment: environment)
      .wait(seconds: 60)
    guard made.succeeded else { throw ProgramFailure(command: "tidemark vault init", result: made) }
    service = try Program(
      Product.tidemark,
      [
        "serve", "--socket", sockets.file("api.sock"), "--time-source", "none", "--https-port", "0",
        "--replication-port", "0",
      ], environment: environment)
    let isReady = Program.poll(seconds: 60) { [service] in
      !service.isRunning || service.outputSoFar.errors.contains("Serving")
    }
    guard isReady, service.isRunning else {
      service.killGroup()
      throw NoService(result: service.wait(seconds: 1))
    }
    let bytes = try FileSystem.system.readFile(vault + "/service.json", limit: 65536)
    let notice = try JSONDecoder().decode(Notice.self, from: Data(bytes))
    (httpsPort, replicationPort) = (notice.httpsPort, notice.replicationPort)
  }

  /// Ends the service, and removes the vault: the next one needs the room.
  deinit {
    service.signal(SIGTERM)
    _ = service.wait(seconds: 60)
    _ = try? Program.run("rm", "-rf", path)
  }

  private static func environment(_ path: String) -> [String: String] {
    [
      "TIDEMARK_VAULT": path + "/vault", "XDG_CONFIG_HOME": path + "/configuration", "HOME": path,
    ]
  }

  /// Runs a command as the operator; gives what it prints.
  @discardableResult
  func run(_ arguments: [String]) throws -> String {
    let result = try start(arguments).wait(seconds: 1200)
    guard result.succeeded else {
      throw ProgramFailure(command: "tidemark \(arguments.joined(separator: " "))", result: result)
    }
    return result.output
  }

  func start(_ arguments: [String]) throws -> Program {
    try Program(Product.tidemark, arguments, environment: Self.environment(path))
  }

  /// Enrols a machine with these disks; it is protected once its agent has been heard.
  func enrol(_ name: String, disks: [String], capture: String) throws -> Machine {
    let machine = Machine(name, self)
    try run([
      "agent", "enrol", "--service", "127.0.0.1:\(httpsPort)", "--key", try makeKey(), "--name",
      name, "--state", machine.state,
    ])
    for disk in disks {
      try run(["agent", "add-disk", disk, "--capture", capture, "--state", machine.state])
    }
    return machine
  }

  private struct Key: Decodable { let key: String }

  private func makeKey() throws -> String {
    let output = try run(["key", "create", "--json"])
    return try JSONDecoder().decode(Key.self, from: Data(output.utf8)).key
  }

  /// Enables a machine whose agent has been heard.
  func enable(_ name: String) throws {
    try run(["machine", "enable", name, "--interval", "86400", "--skip-preflight", "--yes"])
  }

  /// The service's processor time so far, in seconds.
  var processorTime: Double { service.processorTime }
  /// The most memory the service had resident so far, in MiB.
  var peakMemory: Double { service.peakMemory }
}

extension Program {
  /// User and system time of the program so far, in seconds (proc(5), stat).
  var processorTime: Double {
    guard let file = try? File("/proc/\(processIdentifier)/stat", .reading),
      let bytes = try? file.read(at: 0, count: 4096)
    else { return 0 }
    // The name, in parentheses, may hold anything.
    let fields =
      String(decoding: bytes, as: UTF8.self).split(separator: ")").last?
      .split(separator: " ") ?? []
    guard fields.count > 12, let user = Double(fields[11]), let system = Double(fields[12]) else {
      return 0
    }
    return (user + system) / Double(sysconf(Int32(_SC_CLK_TCK)))
  }

  /// The most memory the program had resident so far, in MiB (proc(5), status).
  var peakMemory: Double {
    guard let file = try? File("/proc/\(processIdentifier)/status", .reading),
      let bytes = try? file.read(at: 0, count: 8192)
    else { return 0 }
    let line = String(decoding: bytes, as: UTF8.self).split(separator: "\n")
      .first { $0.hasPrefix("VmHWM:") }
    let kibibytes = line.flatMap { Double($0.split(separator: " ").dropLast().last ?? "") }
    return (kibibytes ?? 0) / 1024
  }
}
