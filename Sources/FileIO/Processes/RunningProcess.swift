internal import Glibc

/// Other processes of this host, which this one need not have started.
public enum RunningProcess {
  /// Bytes of the longest command line that is looked at.
  private static let lineLimit = 1 << 16

  /// The processes of a user whose command line is as asked for (proc_pid_cmdline(5)). Those that have ended
  /// and wait for their parent have no command line.
  public static func all(of user: UInt32, where isMeant: ([String]) -> Bool) -> [Int32] {
    ((try? FileSystem.system.list("/proc")) ?? []).compactMap { name in
      guard let number = Int32(name) else { return nil }
      return Self.isMeant(number, user, isMeant) ? number : nil
    }
  }

  /// The command line of a process; empty if it is gone.
  public static func arguments(of process: Int32) -> [String] {
    guard let file = try? File("/proc/\(process)/cmdline", .reading),
      let bytes = try? file.read(at: 0, count: lineLimit)
    else { return [] }
    return bytes.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
  }

  private static func isMeant(
    _ process: Int32, _ user: UInt32, _ isMeant: ([String]) -> Bool
  ) -> Bool {
    // Of those of other users not even the command line is looked at.
    guard (try? FileSystem.system.status("/proc/\(process)"))?.owner == user else { return false }
    return isMeant(arguments(of: process))
  }

  /// Kills a process (SIGKILL), if it still is one that `all` gives for the same.
  public static func kill(_ process: Int32, of user: UInt32, where isMeant: ([String]) -> Bool) {
    // Held first: its number may be another one's by now, but can't become one from here on.
    guard let handle = ProcessHandle(process), Self.isMeant(process, user, isMeant) else { return }
    handle.kill()
  }

  /// This process's identifier.
  public static var own: Int32 { getpid() }

  /// The file that this process runs; the one that has taken its name since, if one has.
  public static var program: String {
    let link = "/proc/self/exe"
    var bytes = [CChar](repeating: 0, count: 4096)
    let count = readlink(link, &bytes, bytes.count)
    guard count > 0 else { return link }
    var path = String(decoding: bytes[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let mark = " (deleted)"
    if path.hasSuffix(mark) { path.removeLast(mark.count) }
    return FileSystem.system.exists(path) ? path : link
  }

  /// The kernel's release, such as 6.1 of `6.1.0-25-amd64` (uname(2)); nil if it does not tell.
  public static var kernelRelease: (major: Int, minor: Int)? {
    var facts = utsname()
    guard uname(&facts) == 0 else { return nil }
    let text = withUnsafeBytes(of: &facts.release) { bytes in
      String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
    let numbers = text.split { !$0.isNumber }.prefix(2).compactMap { Int($0) }
    return numbers.count == 2 ? (numbers[0], numbers[1]) : nil
  }
}
