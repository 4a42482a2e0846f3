internal import FileIO
internal import Glibc
internal import Support

/// The file system that everything is measured on: a new XFS, where images can be cloned.
///
/// It lies in a sparse file behind a loop device that goes around the page cache, so that nothing is
/// cached twice and a file whose bytes are forgotten is read from the disk.
final class Workbench {
  let path: String
  private let directory: TemporaryDirectory
  private let device: String

  init(size: UInt64) throws {
    directory = try TemporaryDirectory("bench")
    path = directory.file("room")
    let image = directory.file("room.xfs")
    try File(image, .creating(permissions: 0o600)).truncate(to: size)
    try Program.require("mkfs.xfs", "-q", "-f", "-s", "size=4096", image)
    device = try Program.require(
      "losetup", "--find", "--show", "--direct-io=on", "--sector-size=4096", image
    ).split(separator: "\n").joined()
    try FileSystem.system.makeDirectory(path)
    try Program.require("mount", device, path)
  }

  deinit {
    let ended = Program.poll(seconds: 10) { umount2(path, 0) == 0 }
    if !ended { umount2(path, 2) }  // MNT_DETACH: it goes once nobody uses it
    _ = try? Program.run("losetup", "--detach", device)
  }

  /// The path of `name` on the file system.
  func file(_ name: String) -> String { path + "/" + name }

  /// Makes a directory, and gives its path.
  func makeDirectory(_ name: String) throws -> String {
    try FileSystem.system.makeDirectory(file(name))
    return file(name)
  }

  /// Writes all that waits to be written, so that it does not disturb what is measured next, and
  /// gives back the room of what was removed.
  func settle() throws {
    try Program.require("sync", "--file-system", path)
    try Program.require("fstrim", path)
  }
}

extension FileSystem {
  /// The regular files at and below some paths.
  static func files(below paths: [String]) throws -> [String] {
    var found: [String] = []
    for path in paths {
      guard try system.status(path).kind == .directory else {
        found.append(path)
        continue
      }
      found += try files(below: try system.list(path).sorted().map { path + "/" + $0 })
    }
    return found
  }

  /// Reads files, so that their bytes are in the page cache.
  static func warm(_ paths: [String]) throws {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 4096)
    defer { buffer.deallocate() }
    for path in try files(below: paths) {
      let file = try File(path, .reading)
      var place: UInt64 = 0
      while let data = try file.nextData(from: place) {
        place = data
        let count = try file.read(into: buffer, at: place)
        guard count > 0 else { break }
        place += UInt64(count)
      }
    }
  }

  /// Drops the bytes of files from the page cache.
  static func chill(_ paths: [String]) throws {
    for path in try files(below: paths) {
      let file = try File(path, .reading)
      try file.sync()
      file.forgetCached()
    }
  }

  /// The stretches of a file that are no holes.
  static func data(of path: String) throws -> [Range<UInt64>] {
    let file = try File(path, .reading)
    var found: [Range<UInt64>] = []
    var place: UInt64 = 0
    while let start = try file.nextData(from: place) {
      place = try file.nextHole(from: start)
      found.append(start..<place)
    }
    return found
  }
}
