internal import CFileIO
internal import Glibc

/// What this process may use.
public enum ProcessLimits {
  /// Ends this process if it takes more than that of address space, or of processor time, and lets it leave no
  /// image of its memory (setrlimit(2)). Can't be taken back.
  public static func set(memory: UInt64, seconds: UInt64) {
    // RLIMIT_CPU, RLIMIT_CORE and RLIMIT_AS of <asm-generic/resource.h>, which Swift can't import by name.
    for (number, value) in [(0, seconds), (4, 0), (9, memory)] as [(UInt32, UInt64)] {
      limit(number, to: value)
    }
  }

  /// Leaves this process nothing but the descriptors it has, 0 to 2 among them: it can open none, neither files nor sockets, make
  /// no file longer, gain no rights again, and where root started it is one of the user `nobody`, of no group.
  /// Can't be taken back.
  ///
  /// - Throws: where it would go on with more rights than that.
  public static func dropRights() throws(IOError) {
    guard tidemark_gain_no_rights() == 0 else { throw IOError("drop rights", "", code: errno) }
    if geteuid() == 0 {
      guard tidemark_become(nobody, nobody) == 0 else {
        throw IOError("become another user", "nobody", code: errno)
      }
    }
    // RLIMIT_FSIZE and RLIMIT_NOFILE of the same; poll(2) takes no more descriptors than that.
    for (number, value) in [(1, 0), (7, 3)] as [(UInt32, UInt64)] { limit(number, to: value) }
  }

  /// The user and group that own nothing, by their numbers on Debian and where the kernel maps what it can't.
  private static let nobody: UInt32 = 65534

  private static func limit(_ number: UInt32, to value: UInt64) {
    var limit = rlimit(rlim_cur: rlim_t(value), rlim_max: rlim_t(value))
    _ = setrlimit(__rlimit_resource_t(number), &limit)
  }
}
