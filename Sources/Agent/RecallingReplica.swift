internal import Bytes
internal import Capture
internal import Replication
internal import Vault

/// A replica that is the clone of the last cycle, and remembers what changed pages held in it.
final class RecallingReplica: Replica {
  private let replica: ContentReplica
  private let content: any DiskContent
  private let former: FormerPages

  init(disk: DiskNumber, content: any DiskContent, former: FormerPages) {
    (self.content, self.former) = (content, former)
    replica = ContentReplica(disk: disk, content: content)
  }

  func firstData(in range: Range<UInt64>) throws(CaptureError) -> UInt64? {
    try replica.firstData(in: range)
  }

  func differing(_ window: Window) throws(CaptureError) -> [UInt16] {
    let masks = try replica.differing(window)
    var page = [UInt8](repeating: 0, count: Layout.pageSize)
    for block in 0..<Window.blocks where masks[block] != 0 {
      for number in 0..<Layout.pagesPerBlock where masks[block] & 1 << UInt16(number) != 0 {
        let offset = number * Layout.pageSize
        let start = window.start(of: block) + UInt64(offset)
        let bytes = UnsafeRawBufferPointer(
          rebasing: window.block(block)[offset..<offset + Layout.pageSize])
        former.note(
          page: start / UInt64(Layout.pageSize), from: digest(at: start, &page),
          to: ContentDigest(of: bytes, salt: former.salt))
      }
    }
    return masks
  }

  /// The digest of a page of the clone; nil where it can't be read, which only makes it unknown.
  private func digest(at start: UInt64, _ page: inout [UInt8]) -> ContentDigest? {
    guard start < content.size else { return nil }
    let count = Int(min(UInt64(Layout.pageSize), content.size - start))
    return page.withUnsafeMutableBytes { page in
      UnsafeMutableRawBufferPointer(rebasing: page[count...]).initializeMemory(
        as: UInt8.self, repeating: 0)
      let part = UnsafeMutableRawBufferPointer(rebasing: page[..<count])
      guard (try? content.read(into: part, at: start)) != nil else { return nil }
      return ContentDigest(of: UnsafeRawBufferPointer(page), salt: former.salt)
    }
  }
}
