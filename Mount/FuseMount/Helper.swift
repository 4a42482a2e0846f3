internal import CFuse
internal import Glibc

/// Runs fusermount3, which mounts and unmounts for ordinary users (fusermount3(1)).
enum Helper {
  static let program = "fusermount3"

  /// What a run of the program came to.
  struct Outcome {
    /// The exit status; 128 and the signal's number if it was killed.
    let status: Int32
    /// What it said, without its name in front.
    let complaint: String
  }

  /// Runs the program and waits for its end. It inherits `socket`, named to it by `_FUSE_COMMFD`.
  static func run(_ arguments: [String], socket: Int32? = nil) throws(MountError) -> Outcome {
    var ends: [Int32] = [-1, -1]
    guard tidemark_pipe(&ends) == 0 else { throw .system("make a pipe", errno) }
    defer { close(ends[0]) }
    var environment = inheritedEnvironment(without: "_FUSE_COMMFD")
    var passed: [(Int32, as: Int32)] = [(ends[1], as: 2)]
    if let socket {
      environment.append("_FUSE_COMMFD=3")
      passed.append((socket, as: 3))
    }
    let child: pid_t
    do {
      defer { close(ends[1]) }
      child = try spawn(program, [program] + arguments, environment, passed)
    } catch {
      throw error.code == .missing ? .noHelper : error
    }
    let complaint = drain(ends[0])
    return Outcome(status: wait(for: child), complaint: trimmed(complaint))
  }

  /// `fusermount3: failed to …` without the name, the colon and the newline.
  private static func trimmed(_ text: String) -> String {
    let line = text.split(separator: "\n").last.map(String.init) ?? ""
    return line.hasPrefix("\(program): ") ? String(line.dropFirst(program.count + 2)) : line
  }
}

/// The environment of this process but for one variable.
func inheritedEnvironment(without name: String) -> [String] {
  var texts: [String] = []
  var place = environ
  while let text = place.pointee {
    texts.append(String(cString: text))
    place += 1
  }
  return texts.filter { !$0.hasPrefix(name + "=") }
}

/// Starts a program (posix_spawnp(3)) with descriptors of this process under new numbers, and no others but
/// those below the highest of them: not all of a service's sockets are closed at an exec by themselves. Detached means in a
/// session of its own, without the terminal (setsid(2)). A program not found is `.missing`.
func spawn(
  _ program: String, _ arguments: [String], _ environment: [String],
  _ descriptors: [(Int32, as: Int32)], detached: Bool = false
) throws(MountError) -> pid_t {
  var actions = posix_spawn_file_actions_t()
  posix_spawn_file_actions_init(&actions)
  defer { posix_spawn_file_actions_destroy(&actions) }
  let highest = descriptors.map { $0.as }.max() ?? 2
  // Copies out of the way, lest one be put where another still has to be taken from.
  let copies = descriptors.map { fcntl($0.0, F_DUPFD_CLOEXEC, highest + 1) }
  defer { for copy in copies where copy >= 0 { close(copy) } }
  guard copies.allSatisfy({ $0 >= 0 }) else { throw .system("start '\(program)'", errno) }
  for (copy, number) in zip(copies, descriptors.map { $0.as }) {
    posix_spawn_file_actions_adddup2(&actions, copy, number)
  }
  let failed = tidemark_close_from(&actions, max(highest, 2) + 1)
  guard failed == 0 else { throw .system("start '\(program)'", failed) }
  var attributes = posix_spawnattr_t()
  posix_spawnattr_init(&attributes)
  defer { posix_spawnattr_destroy(&attributes) }
  // No signal is blocked there that happens to be in this thread. POSIX_SPAWN_SETSID is 0x80, which
  // its macro hides from Swift.
  var none = sigset_t()
  sigemptyset(&none)
  posix_spawnattr_setsigmask(&attributes, &none)
  posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK) | (detached ? 0x80 : 0))
  var texts = arguments.map { strdup($0) } + [nil]
  var variables = environment.map { strdup($0) } + [nil]
  defer { for text in texts + variables { free(text) } }
  var child = pid_t()
  let code = posix_spawnp(&child, program, &actions, &attributes, &texts, &variables)
  guard code == 0 else {
    guard code == ENOENT else { throw .system("start '\(program)'", code) }
    throw MountError(.missing, "Cannot start '\(program)': it is not installed.")
  }
  return child
}

/// Waits for the end of a process: its exit status, or 128 and the number of the signal that ended it.
func wait(for child: pid_t) -> Int32 {
  var status: Int32 = 0
  while waitpid(child, &status, 0) < 0 {
    // The process's parent may have asked the kernel to reap its children by itself.
    guard errno == EINTR else { return 0 }
  }
  return status & 0x7F == 0 ? status >> 8 & 0xFF : 128 + status & 0x7F
}

/// What comes out of a pipe until its other ends are closed; at most 64 KiB of it.
func drain(_ descriptor: Int32) -> String {
  var bytes: [UInt8] = []
  var chunk = [UInt8](repeating: 0, count: 4096)
  while bytes.count < 1 << 16 {
    let count = read(descriptor, &chunk, chunk.count)
    if count < 0, errno == EINTR { continue }
    guard count > 0 else { break }
    bytes += chunk[..<count]
  }
  return String(decoding: bytes, as: UTF8.self)
}
