/// A file's lock, held for as long as the value lives: it keeps other processes off what it stands for.
public final class FileLock: Sendable {
  private let file: File

  /// Takes the lock of a file, which is made if it is not there; another process that is just ending gets
  /// `patience` milliseconds to let go of it.
  ///
  /// - Throws: an error with `isLocked` if another process has it.
  public init(
    _ path: String, patience: Int, on system: FileSystem = .system
  ) throws(IOError) {
    if !system.exists(path) {
      do throws(IOError) {
        _ = try File(path, .creating(permissions: 0o600), on: system)
      } catch { guard error.isPresent else { throw error } }
    }
    let file = try File(path, .writing, on: system)
    try file.lockExclusively(patience: patience)
    self.file = file
  }

  /// Whether the file was removed, so that nobody meets this lock any more. It is not when its file system is
  /// only out of reach.
  public var isRemoved: Bool { (try? file.status().links) == 0 }

  /// Ends the life of the value, and so the lock, not before here.
  public func release() {}
}
