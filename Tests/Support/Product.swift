internal import FileIO
internal import Glibc

/// The programs that the package builds.
public enum Product {
  /// The `tidemark` that tests run: the one `TIDEMARK_BINARY` names (`Scripts/test` sets it to the
  /// release build), else the one built beside the tests.
  public static var tidemark: String { environment("TIDEMARK_BINARY") ?? path("tidemark") }

  /// A program built beside the tests, or in the directory that `TIDEMARK_PRODUCTS` names.
  public static func path(_ name: String) -> String {
    if let directory = environment("TIDEMARK_PRODUCTS") { return directory + "/" + name }
    // On Linux the test bundle is the running program, and lies among the products.
    let bundle = (try? FileSystem.resolved("/proc/self/exe")) ?? ""
    let beside = FileSystem.parent(of: bundle) + "/" + name
    return FileSystem.system.exists(beside) ? beside : ".build/debug/" + name
  }
}
