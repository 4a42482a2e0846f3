internal import Glibc

/// What this process may use.
public enum ProcessLimits {
  /// Ends this process if it takes more than that of address space, or of processor time, and lets it leave no
  /// image of its memory (setrlimit(2)). Can't be taken back.
  public static func set(memory: UInt64, seconds: UInt64) {
    // RLIMIT_CPU, RLIMIT_CORE and RLIMIT_AS of <asm-generic/resource.h>, which Swift can't import by name.
    for (number, value) in [(0, seconds), (4, 0), (9, memory)] as [(UInt32, UInt64)] {
      var limit = rlimit(rlim_cur: rlim_t(value), rlim_max: rlim_t(value))
      _ = setrlimit(__rlimit_resource_t(number), &limit)
    }
  }
}
