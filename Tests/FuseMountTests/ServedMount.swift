internal import FileIO
internal import FuseMount
internal import Glibc
internal import Support
internal import Testing
internal import Vault

/// A server ended instead of mounting.
struct NotServed: Error, CustomStringConvertible {
  let result: Program.Result
  var description: String { result.report }
}

/// A small vault, mounted by a process of its own until the value ends.
final class ServedMount: Sendable {
  let mountPoint: String
  let server: Program
  /// Where the paths of the machine begin.
  var machine: String { mountPoint + "/" + VaultFixture.machine }

  /// Mounts and waits until the mount answers.
  init(_ fixture: VaultFixture, at name: String = "mnt", _ options: [String] = []) throws {
    mountPoint = fixture.directory.file(name)
    if mkdir(mountPoint, 0o755) != 0, errno != EEXIST {
      throw IOError("make the directory", mountPoint, code: errno)
    }
    if options.contains("--user") { chown(mountPoint, ServedMount.nobody, ServedMount.nobody) }
    let server = try Program(
      Product.path("MountServer"), [fixture.vault.path, mountPoint] + options)
    self.server = server
    let answers = Program.poll(seconds: 20) {
      !server.isRunning || server.outputSoFar.output.hasPrefix("ready\n")
    }
    guard answers, server.isRunning else {
      throw NotServed(result: server.wait(seconds: 0))
    }
  }

  deinit {
    _ = end(SIGTERM)
    try? unmount(mountPoint, lazily: true)
  }

  /// Ends the server with a signal.
  func end(_ signal: Int32) -> Program.Result {
    if server.isRunning { server.signal(signal) }
    return server.wait(seconds: 20)
  }

  /// The path of a file of a point.
  func path(_ point: RecoveryPoint, _ file: String) -> String {
    "\(machine)/points/\(point.id)/\(file)"
  }

  /// Whether something is mounted at the mount point.
  var isMounted: Bool { ServedMount.isMounted(mountPoint) }

  static func isMounted(_ path: String) -> Bool {
    (try? Program.require("cat", "/proc/self/mountinfo"))?.contains(" \(path) ") ?? false
  }

  /// An ordinary user.
  static let nobody: uid_t = 65534

  /// Runs a program as the ordinary user.
  static func asNobody(_ command: String...) throws -> Program.Result {
    let change = ["--reuid=65534", "--regid=65534", "--clear-groups", "--"]
    return try Program("setpriv", change + command).wait(seconds: 60)
  }
}

/// The bytes of a file; untyped, so that it can be used anywhere.
func bytes(of path: String, at offset: UInt64 = 0, count: Int? = nil) throws -> [UInt8] {
  let file = try File(path, .reading)
  return try file.read(at: offset, count: count ?? Int(file.status().size - offset))
}

/// The errno of what a body throws; nil if it succeeds.
func code(_ body: () throws(IOError) -> Void) -> Int32? {
  do throws(IOError) { try body() } catch { return error.code }
  return nil
}
