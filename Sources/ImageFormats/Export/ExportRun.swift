internal import Bytes
internal import FileIO

/// One run of an export, from wherever an earlier one got to up to the finished file.
struct ExportRun {
  let content: any DiskContent
  let partial: PartialFile
  var layout: any OutputLayout
  let description: [UInt8]
  let interval: UInt64
  let waits: Bool

  private let checkpointer: Checkpointer
  /// All of the disk before this byte is written.
  private var position: UInt64 = 0
  private var resumedAt: UInt64 = 0
  private var written: UInt64 = 0
  private var writtenAtCheckpoint: UInt64 = 0

  /// Bytes that are read at a time; a block of a dynamic VHD.
  static let chunk = DynamicVHD.blockSize

  init(
    content: any DiskContent, partial: PartialFile, layout: any OutputLayout, description: [UInt8],
    interval: UInt64, waits: Bool
  ) {
    (self.content, self.partial, self.layout) = (content, partial, layout)
    (self.description, self.interval, self.waits) = (description, interval, waits)
    checkpointer = Checkpointer(partial)
  }

  /// Writes the disk's bytes.
  mutating func write(
    progress: (UInt64, UInt64) -> Void, isCancelled: () -> Bool
  ) throws(ImageError) {
    try start()
    let (content, total) = (content, content.size)
    progress(position, total)
    let reader = ReadAhead<[Range<Int>]>(
      from: position, bufferSize: Int(Self.chunk),
      next: { (cursor) throws(ImageError) in
        try fromSource { try content.nextStretch(from: cursor, chunk: Self.chunk) }
      },
      work: { (range, buffer) throws(ImageError) in
        let part = UnsafeMutableRawBufferPointer(
          rebasing: buffer[..<Int(range.upperBound - range.lowerBound)])
        try fromSource { try content.read(into: part, at: range.lowerBound) }
        return nonzeroParts(of: UnsafeRawBufferPointer(part), at: range.lowerBound)
      })
    if isCancelled() { throw cancelled }
    try reader.run { (range, bytes, parts) throws(ImageError) in
      do throws(IOError) { try write(parts, of: bytes, at: range) } catch {
        throw ImageError(error)
      }
      progress(position, total)
      if isCancelled() { throw cancelled }
    }
    position = total
    progress(total, total)
  }

  private var cancelled: ImageError { ImageError(.cancelled, "The export was cancelled.") }

  /// Goes on where an earlier run of the same export got to, or begins anew.
  private mutating func start() throws(ImageError) {
    do throws(IOError) {
      if let journal = partial.journal(), journal.description == description,
        journal.position <= content.size, journal.position % Self.chunk == 0,
        let blocks = Int(exactly: journal.blocks),
        try layout.resume(partial.file, at: journal.position, blocks: blocks)
      {
        (position, resumedAt) = (journal.position, journal.position)
      } else {
        try partial.removeJournal()
        try layout.begin(partial.file)
      }
    } catch { throw ImageError(error) }
  }

  private mutating func write(
    _ parts: [Range<Int>], of bytes: UnsafeRawBufferPointer, at range: Range<UInt64>
  ) throws(IOError) {
    if let failure = checkpointer.failure { throw failure }
    if !parts.isEmpty {
      let place = try layout.place(of: range.lowerBound, in: partial.file)
      for part in parts {
        try partial.file.write(
          UnsafeRawBufferPointer(rebasing: bytes[part]), at: place + UInt64(part.lowerBound))
        written += UInt64(part.count)
      }
    }
    position = range.upperBound
    guard written - writtenAtCheckpoint >= interval, position % Self.chunk == 0,
      !checkpointer.isBusy
    else { return }
    writtenAtCheckpoint = written
    checkpointer.start(try journal())
    if waits { checkpointer.wait() }
  }

  private mutating func journal() throws(IOError) -> ExportJournal {
    let blocks = try layout.settle(partial.file, at: position)
    return ExportJournal(description: description, position: position, blocks: UInt64(blocks))
  }

  /// Writes what surrounds the data, makes all of it durable and gives it its name.
  mutating func finish() throws(ImageError) -> DiskExport.Summary {
    checkpointer.wait()
    do throws(IOError) {
      if let failure = checkpointer.failure { throw failure }
      try layout.finish(partial.file)
      let size = try partial.file.status().size
      try partial.publish()
      return DiskExport.Summary(
        fileSize: size, diskSize: layout.paddedSize, resumedAt: resumedAt, written: written)
    } catch { throw ImageError(error) }
  }

  /// Keeps nothing.
  mutating func discard() {
    checkpointer.wait()
    try? partial.discard()
  }

  /// Keeps as much as is durable for a later run, and says what became of it.
  mutating func keep() -> String {
    checkpointer.wait()
    guard !partial.isPublished else {
      return "The file is complete, but after a power loss it may lack its name."
    }
    position -= position % Self.chunk
    // This fails if an earlier sync did; then what was durable before that is kept.
    if position > resumedAt, let journal = try? journal() { try? partial.checkpoint(journal) }
    if let journal = partial.journal(), journal.description == description {
      return "Run the same export again: it goes on at byte \(journal.position) "
        + "of \(content.size)."
    }
    try? partial.discard()
    return "Nothing of it was kept."
  }
}
