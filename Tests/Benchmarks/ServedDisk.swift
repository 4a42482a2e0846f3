internal import FileIO
internal import Glibc
internal import Support

/// A disk that a program serves as a file, until the value ends.
final class ServedDisk {
  let path: String
  /// Seconds from starting the program to having the first 4 KiB of the disk.
  let secondsToFirstByte: Double
  private let server: Program
  private let mountPoint: String

  struct NotServed: Error, CustomStringConvertible {
    let command: [String]
    let result: Program.Result
    var description: String {
      "\(command.joined(separator: " ")) does not serve the disk: \(result.report)"
    }
  }

  /// Runs a program, and waits until `path`, of `size` bytes, can be read at `offset`.
  init(
    _ command: [String], environment: [String: String] = [:], mountPoint: String, path: String,
    size: UInt64, offset: UInt64 = 0
  ) throws {
    (self.path, self.mountPoint) = (path, mountPoint)
    let clock = ContinuousClock()
    let start = clock.now
    let program = try Program(command[0], Array(command.dropFirst()), environment: environment)
    server = program
    while (try? FileSystem.system.status(path).size) != size,
      program.isRunning, clock.now - start < .seconds(120)
    {
      usleep(200)
    }
    do {
      _ = try File(path, .reading).read(at: offset, count: 4096)
    } catch {
      program.killGroup()
      throw NotServed(command: command, result: program.wait(seconds: 1))
    }
    secondsToFirstByte = (clock.now - start).inSeconds
  }

  deinit {
    server.signal(SIGTERM)
    _ = server.wait(seconds: 30)
    umount2(mountPoint, 2)  // MNT_DETACH, where it could not do so itself
  }

  /// The most memory the server had resident so far, in MiB.
  var peakMemory: Double { server.peakMemory }
}

extension Duration {
  var inSeconds: Double {
    Double(components.seconds) + Double(components.attoseconds) * 1e-18
  }
}
