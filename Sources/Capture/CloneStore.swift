internal import Bytes
internal import FileIO
internal import Vault

/// The clones of one disk's image: files in `.tidemark/` beside it, at most two once a cycle ended
/// or broke off.
///
/// Only XFS and btrfs: they keep shared blocks in place, and FIEMAP tells where. The directory is
/// 0700 and the clones 0600, because a clone is as secret as the disk. A clone has its name only
/// once it is durable: it is cloned under a temporary name, synced, renamed, and then the directory
/// is synced.
struct CloneStore: Sendable {
  /// Ends the name of a clone that is not durable yet.
  static let temporarySuffix = ".new"
  /// The directory beside the image.
  static let directoryName = ".tidemark"

  let machine: Identifier
  let disk: DiskNumber
  /// The image, symbolic links resolved, so that its clones lie on its own file system.
  let image: String
  let directory: String

  /// - Throws: `.notClonable` where clones can't be made, `.sourceMissing`, `.sourceUnreadable`.
  init(machine: Identifier, disk: DiskConfiguration) throws(CaptureError) {
    (self.machine, self.disk) = (machine, disk.number)
    let clonable: Bool
    do throws(IOError) {
      image = try FileSystem.resolved(disk.path)
      let kind = try FileSystem.system.kind(at: image)
      clonable = try FileSystem.system.status(image).kind == .file && kind != .other
    } catch { throw .source(disk.number, disk.path, error) }
    guard clonable else { throw .notClonable(disk) }
    let parent = FileSystem.parent(of: image)
    directory = (parent == "/" ? "" : parent) + "/" + Self.directoryName
  }

  /// A clone's path.
  func path(of name: CloneName) -> String { directory + "/" + name.fileName }

  /// The durable clones of this disk.
  func names() throws(CaptureError) -> [CloneName] {
    try entries().compactMap { CloneName(fileName: $0) }.filter {
      $0.machine == machine && $0.disk == disk
    }
  }

  /// Removes clones, and what is none: half made by a cycle that was interrupted, or named as no clone is
  /// any more. Durable when it returns.
  func remove(_ names: some Sequence<CloneName>) throws(CaptureError) {
    let prefix = CloneName.prefix(machine, disk)
    let strays = try entries().filter { $0.hasPrefix(prefix) && CloneName(fileName: $0) == nil }
    let all = strays + names.map(\.fileName)
    guard !all.isEmpty else { return }
    try act { () throws(IOError) in
      for name in all {
        do throws(IOError) { try FileSystem.system.remove(directory + "/" + name) } catch {
          guard error.isMissing else { throw error }
        }
      }
      try FileSystem.system.syncDirectory(directory)
    }
  }

  /// Removes every clone of the disk, and the directory if nothing else is in it.
  func removeAll() throws(CaptureError) {
    try remove(names())
    // It stays where it holds the clones of other disks, or was never made.
    try? FileSystem.system.removeDirectory(directory)
  }

  /// Makes the directory if it is not there; durable when it returns.
  func makeDirectory() throws(CaptureError) {
    try act { () throws(IOError) in
      do throws(IOError) {
        try FileSystem.system.makeDirectory(directory, permissions: 0o700)
      } catch {
        guard error.isPresent else { throw error }
        return
      }
      try FileSystem.system.syncDirectory(FileSystem.parent(of: directory))
    }
  }

  /// The share of the file system that is free, in percent.
  func freePercent() throws(CaptureError) -> Int {
    try act { () throws(IOError) in
      let space = try FileSystem.system.space(at: FileSystem.parent(of: directory))
      return space.total == 0 ? 0 : Int(space.free / max(1, space.total / 100))
    }
  }

  private func entries() throws(CaptureError) -> [String] {
    try act { () throws(IOError) in
      do throws(IOError) { return try FileSystem.system.list(directory) } catch {
        guard error.isMissing else { throw error }
        return []
      }
    }
  }

  /// Runs `body`, naming the disk in its error.
  func act<Result: ~Copyable>(
    _ body: () throws(IOError) -> Result
  ) throws(CaptureError) -> Result {
    do { return try body() } catch {
      throw CaptureError(
        .sourceUnreadable,
        "Cannot keep clones of disk \(disk): \(error.description) "
          + "Make '\(directory)' usable, or capture the machine with --capture scan.",
        cause: error)
    }
  }
}

extension CaptureError {
  static func notClonable(_ disk: DiskConfiguration) -> CaptureError {
    CaptureError(
      .notClonable,
      "Disk \(disk.number), '\(disk.path)', cannot be cloned: --capture reflink needs an image file "
        + "on XFS (made with reflink=1) or btrfs. Use --capture scan, on a source that is quiet "
        + "while it is read, such as a snapshot.")
  }
}
