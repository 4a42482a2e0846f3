public import FileIO
internal import Glibc

/// A file system did not do what the vault relies on.
public struct BrokenPromise: Error, CustomStringConvertible {
  /// What it should have done.
  public let description: String
}

/// Checks that a file system keeps the promises the vault relies on: the same ones for the
/// machine's file systems and for their double.
///
/// - Parameters:
///   - system: the file system.
///   - directory: an empty directory of it, left empty.
/// - Throws: `BrokenPromise` for the first promise that is not kept.
public func checkFileSystem(_ system: FileSystem, in directory: String) throws {
  let check = FileSystemConformance(system: system, directory: directory)
  try check.missingAndPresent()
  try check.readingAndWriting()
  try check.resizing()
  try check.renaming()
  try check.removing()
  try check.directories()
  try check.replacing()
  try check.locking()
  try check.modes()
}

private struct FileSystemConformance {
  let system: FileSystem
  let directory: String

  func path(_ name: String) -> String { directory + "/" + name }

  func expect(_ kept: Bool, _ promise: String) throws {
    guard kept else { throw BrokenPromise(description: promise) }
  }

  func expect(
    _ code: Int32, _ promise: String, _ body: () throws(IOError) -> Void
  ) throws {
    do throws(IOError) {
      try body()
    } catch {
      return try expect(error.code == code, "\(promise); got: \(error)")
    }
    throw BrokenPromise(description: "\(promise); got no error")
  }

  func create(_ name: String) throws(IOError) -> File {
    try File(path(name), .creating(permissions: 0o600), on: system)
  }

  func content(_ name: String) throws(IOError) -> [UInt8] {
    try system.readFile(path(name), limit: 1 << 20)
  }

  func missingAndPresent() throws {
    for mode in [OpenMode.reading, .writing] {
      try expect(ENOENT, "opening a missing file is ENOENT") { () throws(IOError) in
        _ = try File(path("missing"), mode, on: system)
      }
    }
    try expect(ENOENT, "creating in a missing directory is ENOENT") { () throws(IOError) in
      _ = try create("missing/file")
    }
    _ = try create("present")
    try expect(EEXIST, "creating over a file is EEXIST") { () throws(IOError) in
      _ = try create("present")
    }
    try expect(ENOTDIR, "a file is no directory to pass through") { () throws(IOError) in
      _ = try create("present/file")
    }
    try expect(system.exists(path("present")), "a created file exists")
    try expect(!system.exists(path("missing")), "a missing file does not exist")
    try system.remove(path("present"))
  }

  func readingAndWriting() throws {
    let file = try create("file")
    try expect(try file.status().size == 0, "a new file is empty")
    try file.write([1, 2, 3], at: 0)
    try expect(try content("file") == [1, 2, 3], "other handles read what was written at once")
    try file.write([9], at: 1)
    try expect(try file.read(at: 0, count: 3) == [1, 9, 3], "writes replace bytes in place")
    try file.write([7], at: 100_000)
    try expect(try file.status().size == 100_001, "a write behind the end makes the file longer")
    try expect(
      try file.read(at: 3, count: 99_997) == [UInt8](repeating: 0, count: 99_997),
      "what lies between is zeros")
    try expect(try file.read(at: 100_000, count: 10) == [7], "reads stop at the end")
    try expect(try file.read(at: 200_000, count: 10) == [], "behind the end nothing is read")
    try file.write([UInt8](), at: 500_000)
    try expect(try file.status().size == 100_001, "writing nothing changes nothing")
    try file.sync()
    let large = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 / 7) }
    try file.write(large, at: 65_000)
    try expect(try file.read(at: 65_000, count: 300_000) == large, "long writes arrive whole")
    try system.remove(path("file"))
  }

  func resizing() throws {
    let file = try create("file")
    try file.write([UInt8](repeating: 5, count: 100_000), at: 0)
    try file.truncate(to: 10)
    try expect(try file.status().size == 10, "a file can be cut")
    try file.truncate(to: 80_000)
    try expect(
      try file.read(at: 0, count: 80_000)
        == [UInt8](repeating: 5, count: 10) + [UInt8](repeating: 0, count: 79_990),
      "what was cut off does not come back when the file grows")
    try file.truncate(to: 1 << 40)
    try expect(try file.status().size == 1 << 40, "a file can be long and empty")
    try expect(try file.read(at: 1 << 39, count: 2) == [0, 0], "emptiness reads as zeros")
    try system.remove(path("file"))
  }

  func renaming() throws {
    let file = try create("old")
    try file.write([1], at: 0)
    try system.rename(path("old"), to: path("new"))
    try expect(!system.exists(path("old")), "a renamed file leaves its old name")
    try expect(try content("new") == [1], "a renamed file has its new name")
    try file.write([2], at: 0)
    try expect(try content("new") == [2], "a handle stays with a renamed file")
    let other = try create("other")
    try other.write([8], at: 0)
    let reader = try File(path("new"), .reading, on: system)
    try system.rename(path("other"), to: path("new"))
    try expect(try content("new") == [8], "a rename replaces what had the name")
    try expect(try reader.read(at: 0, count: 1) == [2], "a reader keeps the file that was replaced")
    try expect(ENOENT, "renaming a missing file is ENOENT") { () throws(IOError) in
      try system.rename(path("missing"), to: path("x"))
    }
    try system.remove(path("new"))
  }

  func removing() throws {
    let file = try create("file")
    try file.write([4], at: 0)
    try system.remove(path("file"))
    try expect(!system.exists(path("file")), "a removed file is gone")
    try expect(try file.read(at: 0, count: 1) == [4], "a handle outlives its file's name")
    try expect(ENOENT, "removing a missing file is ENOENT") { () throws(IOError) in
      try system.remove(path("file"))
    }
    try create("file").write([5], at: 0)
    try expect(try content("file") == [5], "a removed name can be used again")
    try expect(try file.read(at: 0, count: 1) == [4], "the new file is another one")
    try system.remove(path("file"))
  }

  func directories() throws {
    try system.makeDirectory(path("a"))
    try system.makeDirectory(path("a/b"))
    _ = try create("a/file")
    try expect(Set(try system.list(path("a"))) == ["b", "file"], "a directory lists its names")
    try expect(try system.status(path("a")).kind == .directory, "a directory is a directory")
    try expect(EEXIST, "making a directory again is EEXIST") { () throws(IOError) in
      try system.makeDirectory(path("a"))
    }
    try expect(ENOTEMPTY, "a directory in use is not removed") { () throws(IOError) in
      try system.removeDirectory(path("a"))
    }
    try expect(ENOTDIR, "a file lists no names") { () throws(IOError) in
      _ = try system.list(path("a/file"))
    }
    try expect(ENOENT, "a missing directory lists no names") { () throws(IOError) in
      _ = try system.list(path("missing"))
    }
    try system.syncDirectory(path("a"))
    try system.rename(path("a/file"), to: path("a/b/file"))
    try expect(try system.list(path("a")) == ["b"], "a file can move to another directory")
    try system.rename(path("a"), to: path("c"))
    try expect(system.exists(path("c/b/file")), "a directory moves with all in it")
    try system.remove(path("c/b/file"))
    try system.removeDirectory(path("c/b"))
    try system.removeDirectory(path("c"))
    try expect(try system.list(directory) == [], "everything was removed")
  }

  func replacing() throws {
    for content in [[1, 2, 3], [4]] as [[UInt8]] {
      try system.replaceFile(path("file"), with: content, permissions: 0o640)
      try expect(try self.content("file") == content, "replaceFile replaces the content")
      try expect(try system.list(directory) == ["file"], "replaceFile leaves no other file")
    }
    try expect(try system.status(path("file")).permissions == 0o640, "permissions are kept")
    try expect(EFBIG, "a file longer than the limit is not read") { () throws(IOError) in
      _ = try system.readFile(path("file"), limit: 0)
    }
    try system.remove(path("file"))
  }

  func locking() throws {
    _ = try create("file")
    let first = try File(path("file"), .writing, on: system)
    let second = try File(path("file"), .writing, on: system)
    do {
      let holder = try File(path("file"), .reading, on: system)
      try holder.lockExclusively()
      try holder.lockExclusively()
      try expect(EAGAIN, "one handle has the lock") { () throws(IOError) in
        try first.lockExclusively()
      }
    }
    try first.lockExclusively()
    try expect(try first.lowestLockedByte(in: 0..<100) == nil, "no byte is locked at first")
    do {
      let reader = try File(path("file"), .reading, on: system)
      try reader.lockSharedByte(70)
      try second.lockSharedByte(70)
      try reader.lockSharedByte(40)
      try expect(try first.lowestLockedByte(in: 0..<100) == 40, "locked bytes are seen")
      try expect(try first.lowestLockedByte(in: 41..<100) == 70, "those of a range are seen")
      try expect(try first.lowestLockedByte(in: 41..<70) == nil, "others are not seen")
      try reader.unlockByte(40)
      try expect(try first.lowestLockedByte(in: 0..<100) == 70, "an unlocked byte is free")
    }
    try expect(try first.lowestLockedByte(in: 0..<100) == 70, "others' locks stay")
    try expect(try second.lowestLockedByte(in: 0..<100) == nil, "a closed file frees its bytes")
    try system.remove(path("file"))
  }

  func modes() throws {
    _ = try create("file")
    let reader = try File(path("file"), .reading, on: system)
    try expect(EBADF, "a file opened for reading can't be written") { () throws(IOError) in
      try reader.write([1], at: 0)
    }
    try expect(EISDIR, "a directory can't be opened for writing") { () throws(IOError) in
      _ = try File(directory, .writing, on: system)
    }
    try system.remove(path("file"))
  }
}
