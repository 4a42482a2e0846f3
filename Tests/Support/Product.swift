internal import FileIO
internal import Glibc

/// The programs that the package builds.
public enum Product {
  /// The `tidemark` that tests run: the one `TIDEMARK_BINARY` names (`Scripts/test` sets it to the
  /// release build), else the one built beside the tests.
  public static var tidemark: String { environment("TIDEMARK_BINARY") ?? path("tidemark") }

  /// A program built beside the tests.
  public static func path(_ name: String) -> String {
    // On Linux the test bundle is the running program, and lies among the products.
    let bundle = (try? FileSystem.resolved("/proc/self/exe")) ?? ""
    let beside = FileSystem.parent(of: bundle) + "/" + name
    return FileSystem.system.exists(beside) ? beside : ".build/debug/" + name
  }
}
