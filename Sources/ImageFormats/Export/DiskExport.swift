public import Bytes
package import FileIO

/// A disk to be written to a file: in which format, under which name it may be continued.
///
/// The bytes are decided by the disk and by `format`, `identifier` and `created` alone: exporting
/// twice gives equal files. Holes of the disk and runs of 4 KiB of zeros become holes of the file.
public struct DiskExport: Sendable {
  /// The format of the file.
  public var format: ExportFormat
  /// A text that no other content has: vault, machine, point and disk. An export that was cut off
  /// goes on only if this, the disk's size and the other properties here are as they were.
  public var identity: String
  /// The unique id that a VHD carries.
  public var identifier: Identifier
  /// The time that a VHD carries.
  public var created: Timestamp
  /// Whether an existing file is replaced, once the new one is whole.
  public var replacesExisting = false
  /// Permission bits of the file. A disk holds everything its machine knows, so by default only the
  /// owner may read it.
  public var permissions: UInt32 = 0o600
  /// Asked once all of the disk was read: whether it was the same disk all the time. If it was not, nothing is
  /// kept.
  public var isSettled: @Sendable () -> Bool = { true }
  /// Bytes that are written between two moments of which a cut-off export can go on.
  package var checkpointInterval: UInt64 = 128 << 20
  /// Whether writing pauses while the file is made durable; then a test's disk sees one order of
  /// calls.
  package var waitsForCheckpoints = false
  /// Where the file is written.
  package var system = FileSystem.system

  /// Describes an export.
  public init(
    format: ExportFormat, identity: String, identifier: Identifier, created: Timestamp
  ) {
    (self.format, self.identity) = (format, identity)
    (self.identifier, self.created) = (identifier, created)
  }

  /// What an export did.
  public struct Summary: Hashable, Sendable {
    /// Bytes of the file, holes included.
    public var fileSize: UInt64
    /// Bytes of the disk inside: its own, or in a VHD padded to a whole MiB.
    public var diskSize: UInt64
    /// Bytes of the disk that an earlier run, cut off, had left done.
    public var resumedAt: UInt64
    /// Bytes of data this run wrote.
    public var written: UInt64
  }

  /// Writes `content` to the file `path`.
  ///
  /// Blocks until it is done. The file appears under its name only when it is whole and durable;
  /// until then it is `.NAME.tidemark-partial` beside it, which the next run goes on with.
  ///
  /// - Parameters:
  ///   - content: the disk; two threads read it.
  ///   - path: the file; its directory exists.
  ///   - progress: told how many bytes of the disk are done, and how many there are. Called first
  ///     with what an earlier run left done, then after every 2 MiB, on this thread.
  ///   - isCancelled: asked as often; true ends the export with `.cancelled`.
  /// - Returns: what was written, and what had been before.
  /// - Throws: `.alreadyExists`, `.busy`, `.cancelled`, `.full`, `.source`, which a disk that is not settled is
  ///   as well, `.io`; `.invalidSize`
  ///   or `.tooLarge` if the format can't hold the disk.
  @discardableResult
  public func run(
    _ content: any DiskContent, to path: String,
    progress: (_ done: UInt64, _ total: UInt64) -> Void = { _, _ in },
    isCancelled: () -> Bool = { false }
  ) throws(ImageError) -> Summary {
    let layout = try layout(of: content.size)
    try checkOutput(path)
    let partial = try PartialFile(of: path, permissions: permissions, on: system)
    var run = ExportRun(
      content: content, partial: partial, layout: layout, description: description(content.size),
      interval: checkpointInterval, waits: waitsForCheckpoints)
    do throws(ImageError) {
      try run.write(progress: progress, isCancelled: isCancelled)
      if isSettled() {
        try checkOutput(path)
        return try run.finish()
      }
    } catch {
      throw explain(error, path: path, outlook: run.keep())
    }
    run.discard()
    throw ImageError(
      .source,
      "Cannot export to '\(path)': the disk was written to meanwhile. Nothing of it was kept. Stop what uses "
        + "the disk, then run this again.")
  }

  /// Where the bytes go.
  private func layout(of size: UInt64) throws(ImageError) -> any OutputLayout {
    switch format {
    case .raw:
      try checkDiskSize(size, of: identity)
      return FlatLayout(raw: size)
    case .fixedVHD: return FlatLayout(try fixedVHD(of: size))
    case .dynamicVHD:
      return try DynamicVHD(diskSize: size, identifier: identifier, created: created)
    }
  }

  /// The layout of the fixed VHD.
  func fixedVHD(of size: UInt64) throws(ImageError) -> FixedVHD {
    try FixedVHD(diskSize: size, identifier: identifier, created: created)
  }

  /// Everything that decides the bytes, for the journal.
  private func description(_ size: UInt64) -> [UInt8] {
    var writer = ByteWriter(capacity: 128)
    writer.text(format.rawValue)
    writer.text(identity)
    writer.integer(size)
    writer.identifier(identifier)
    writer.integer(created.rawValue)
    return writer.bytes
  }

  private func checkOutput(_ path: String) throws(ImageError) {
    let status: FileStatus
    do throws(IOError) { status = try system.status(path) } catch {
      guard error.isMissing, !path.hasSuffix("/") else { throw ImageError(error) }
      return
    }
    guard status.kind == .file else {
      throw ImageError(
        .alreadyExists,
        "Cannot export to '\(path)': it is a directory or a device. Name a file to be made.")
    }
    guard replacesExisting else {
      throw ImageError(
        .alreadyExists,
        "Cannot export to '\(path)': it exists already. Name another file, or remove it first.")
    }
  }

  /// Adds to an error what became of the bytes written so far.
  private func explain(_ error: ImageError, path: String, outlook: String) -> ImageError {
    if let cause = error.cause as? IOError, error.code == .io, cause.isFull {
      return ImageError(
        .full, "No room is left for '\(path)': free some, or export elsewhere. \(outlook)",
        cause: cause)
    }
    switch error.code {
    case .cancelled, .io, .source:
      return ImageError(error.code, "\(error.message) \(outlook)", cause: error.cause)
    default: return error
    }
  }
}
