internal import FileIO
internal import Synchronization

/// The file an export is written to until it is whole: `.NAME.tidemark-partial` beside the output,
/// with its journal, `.NAME.tidemark-journal`. Locked while it is open.
final class PartialFile: Sendable {
  let file: File
  let path: String
  private let journalPath: String
  private let output: String
  private let system: FileSystem
  private let state = Mutex(State())

  private struct State {
    var syncFailure: IOError?
    var isPublished = false
  }

  /// Opens or makes the partial file of `output`, and locks it.
  ///
  /// - Throws: `.busy` if another process writes it.
  init(
    of output: String, permissions: UInt32, on system: FileSystem
  ) throws(ImageError) {
    let parent = FileSystem.parent(of: output)
    let name = output.split(separator: "/").last ?? ""
    let prefix = (parent == "/" ? "/" : parent + "/") + ".\(name).tidemark-"
    (path, journalPath) = (prefix + "partial", prefix + "journal")
    (self.output, self.system) = (output, system)
    do throws(IOError) {
      file = try Self.open(path, permissions: permissions, on: system)
      try file.lockExclusively()
    } catch {
      guard error.isLocked else { throw ImageError(error) }
      throw Self.busy(output, cause: error)
    }
    // The one who held the lock may just have given the file its final name.
    guard let named = try? system.status(path), let opened = try? file.status(),
      named.inode == opened.inode
    else { throw Self.busy(output, cause: nil) }
  }

  private static func busy(_ output: String, cause: IOError?) -> ImageError {
    ImageError(
      .busy,
      "Cannot export to '\(output)': another export to it is running. Wait until it has ended.",
      cause: cause)
  }

  private static func open(
    _ path: String, permissions: UInt32, on system: FileSystem
  ) throws(IOError) -> File {
    do throws(IOError) {
      return try File(path, .creating(permissions: permissions), on: system)
    } catch {
      guard error.isPresent else { throw error }
      return try File(path, .writing, on: system)
    }
  }

  /// Whether the file has its final name.
  var isPublished: Bool { state.withLock { $0.isPublished } }

  /// Makes the file durable. Once that has failed it is not tried again: the kernel may have
  /// dropped bytes that it will not report a second time.
  private func sync() throws(IOError) {
    if let failure = state.withLock({ $0.syncFailure }) { throw failure }
    do throws(IOError) { try file.sync() } catch {
      state.withLock { $0.syncFailure = error }
      throw error
    }
  }

  /// Gives the finished file its name, durably, and removes the journal.
  func publish() throws(IOError) {
    try sync()
    try system.rename(path, to: output)
    state.withLock { $0.isPublished = true }
    try system.syncDirectory(FileSystem.parent(of: output))
    // Without its partial file a journal means nothing.
    try? removeJournal()
  }

  /// Removes file and journal.
  func discard() throws(IOError) {
    try removeJournal()
    try system.remove(path)
  }

  /// The journal that was left here, if there is one.
  func journal() -> ExportJournal? { ExportJournal.load(journalPath, on: system) }

  /// Forgets how far an earlier export got, before the file is changed in any way.
  func removeJournal() throws(IOError) { try ExportJournal.remove(journalPath, on: system) }

  /// Makes the file durable, then writes how far it got.
  func checkpoint(_ journal: ExportJournal) throws(IOError) {
    try sync()
    try journal.save(journalPath, on: system)
  }
}
