import FileIO
import Support
import Testing

/// What only the real system shows: other processes, permissions, full and read-only file systems.
struct FileTests {
  @Test("a lock holds against other processes and ends with the file")
  func locksBetweenProcesses() throws {
    let directory = try TemporaryDirectory("locks")
    let path = directory.file("lock")
    func othersCanLock() throws -> Bool {
      try Program.run("flock", "--nonblock", path, "true").succeeded
    }
    do {
      let file = try File(path, .creating(permissions: 0o600))
      #expect(try othersCanLock())
      try file.lockExclusively()
      #expect(try !othersCanLock())
    }
    #expect(try othersCanLock())
    let holder = try Program("flock", [path, "sleep", "60"])
    defer {
      holder.killGroup()
      _ = holder.wait(seconds: 10)
    }
    #expect(try Program.poll(seconds: 10) { try !othersCanLock() })
    let file = try File(path, .writing)
    do throws(IOError) {
      try file.lockExclusively()
      Issue.record("the lock should be taken")
    } catch { #expect(error.isLocked) }
    holder.killGroup()
    #expect(Program.poll(seconds: 10) { (try? file.lockExclusively()) != nil })
  }

  @Test("a child process does not keep this process's files and locks open")
  func filesEndAtExec() throws {
    let directory = try TemporaryDirectory("inherit")
    let path = directory.file("lock")
    let child: Program
    do {
      let file = try File(path, .creating(permissions: 0o600))
      try file.lockExclusively()
      child = try Program("sleep", ["60"])
    }
    let file = try File(path, .writing)
    // A process that another test is starting may hold a copy until its exec.
    #expect(Program.poll(seconds: 10) { (try? file.lockExclusively()) != nil })
    #expect(child.isRunning)
    child.killGroup()
    _ = child.wait(seconds: 10)
  }

  @Test("permissions are what was asked for, whatever the umask")
  func permissions() throws {
    let directory = try TemporaryDirectory("permissions")
    let system = FileSystem.system
    try system.makeDirectory(directory.file("open"), permissions: 0o777)
    #expect(try system.status(directory.file("open")).permissions == 0o777)
    try system.makeDirectory(directory.file("closed"))
    #expect(try system.status(directory.file("closed")).permissions == 0o700)
  }

  @Test(
    "a full file system is told as such, and what was there stays", .enabled(if: Available.root))
  func fullFileSystem() throws {
    let mount = try LoopMount(.ext4, size: 16 << 20)
    let space = try FileSystem.system.space(at: mount.path)
    #expect(space.free > 4 << 20 && space.free <= space.total && space.total <= 16 << 20)
    try FileSystem.system.replaceFile(mount.file("keep"), with: [1, 2, 3], permissions: 0o600)
    let file = try File(mount.file("large"), .creating(permissions: 0o600))
    let chunk = [UInt8](repeating: 7, count: 1 << 20)
    var offset: UInt64 = 0
    do throws(IOError) {
      while offset < 32 << 20 {
        try file.write(chunk, at: offset)
        offset += UInt64(chunk.count)
      }
      try file.sync()
      Issue.record("the file system should be full")
    } catch {
      #expect(error.isFull)
    }
    do throws(IOError) {
      let more = [UInt8](repeating: 1, count: 1 << 20)
      try FileSystem.system.replaceFile(mount.file("keep"), with: more, permissions: 0o600)
      Issue.record("the file system should be full")
    } catch { #expect(error.isFull) }
    #expect(try FileSystem.system.readFile(mount.file("keep"), limit: 10) == [1, 2, 3])
  }

  @Test("a read-only file system refuses changes as refused", .enabled(if: Available.root))
  func readOnlyFileSystem() throws {
    let mount = try LoopMount(.ext4, size: 16 << 20)
    try FileSystem.system.replaceFile(mount.file("keep"), with: [1], permissions: 0o600)
    try Program.require("mount", "-o", "remount,ro", mount.path)
    for mode in [OpenMode.writing, .creating(permissions: 0o600)] {
      do throws(IOError) {
        let name = if case .writing = mode { "keep" } else { "new" }
        _ = try File(mount.file(name), mode)
        Issue.record("opening should be refused")
      } catch { #expect(error.isRefused) }
    }
    let reader = try File(mount.file("keep"), .reading)
    #expect(try reader.read(at: 0, count: 5) == [1])
    try reader.lockSharedByte(3)
  }

  @Test("a failure says what was tried, on what and why")
  func messages() throws {
    do throws(IOError) {
      _ = try File("/missing/file", .reading)
      Issue.record("there is no such file")
    } catch {
      #expect(error.description == "Cannot open '/missing/file': No such file or directory.")
      #expect(error.isMissing && !error.isFull && !error.isRefused)
    }
  }

  @Test("parents of paths are found without looking at the disk")
  func parents() {
    #expect(FileSystem.parent(of: "/a/b") == "/a")
    #expect(FileSystem.parent(of: "/a") == "/")
    #expect(FileSystem.parent(of: "a") == ".")
    #expect(FileSystem.parent(of: "a/b/c") == "a/b")
  }

  @Test("resolving a path follows links and needs it to exist")
  func resolving() throws {
    let directory = try TemporaryDirectory("resolve")
    try Program.require("ln", "-s", directory.path, directory.file("link"))
    let real = try FileSystem.resolved(directory.path)
    #expect(try FileSystem.resolved(directory.file("link/./link")) == real)
    #expect(throws: IOError.self) { try FileSystem.resolved(directory.file("missing")) }
  }
}
