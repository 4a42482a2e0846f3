import FileIO
import Support
import Testing

/// The real file system and its double keep the same promises, so that what the vault's tests find
/// on the double holds on a disk.
struct ConformanceTests {
  @Test("the machine's file system keeps the promises the vault relies on")
  func realFileSystem() throws {
    let directory = try TemporaryDirectory("conformance")
    try checkFileSystem(.system, in: directory.path)
  }

  @Test("the simulated disk keeps the same promises")
  func simulatedDisk() throws {
    let disk = SimulatedDisk(seed: 1)
    try disk.fileSystem.makeDirectory("/vault")
    try checkFileSystem(disk.fileSystem, in: "/vault")
  }
}
