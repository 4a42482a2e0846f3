internal import CThreadSanitizer
internal import Glibc

/// What this machine offers to tests; use with `@Test(.enabled(if: Available.root))`.
///
/// Where `CI` is set everything counts as available, so that a test that can't run there fails
/// instead of being passed over.
public enum Available {
  private static let isRequired = environment("CI") != nil

  /// The tests run as root: they may mount and use loop devices.
  public static var root: Bool { isRequired || geteuid() == 0 }

  /// FUSE file systems can be mounted.
  public static var fuse: Bool { isRequired || access("/dev/fuse", R_OK | W_OK) == 0 }

  /// FUSE file systems can be served by the tests' own process. The thread sanitizer ends a process
  /// whose threads are cancelled, as libfuse does with its own.
  public static var fuseInProcess: Bool { fuse && tidemark_is_thread_sanitized() == 0 }

  /// These programs are installed.
  public static func programs(_ names: String...) -> Bool {
    let directories: [Substring] =
      (environment("PATH") ?? "").split(separator: ":") + ["/usr/sbin", "/sbin"]
    return isRequired
      || names.allSatisfy { name in directories.contains { access("\($0)/\(name)", X_OK) == 0 } }
  }
}
