internal import Bytes
internal import Replication
internal import Vault

/// Answers an agent's questions for digests out of its machine's log.
///
/// For one thread at a time. Blocks that hold no data are not read.
struct DigestAnswers {
  private let log: MachineWriter
  private let buffer: Buffer

  /// The memory of one block.
  private final class Buffer {
    let bytes = UnsafeMutableRawBufferPointer.allocate(
      byteCount: Layout.blockSize, alignment: Layout.pageSize)
    deinit { bytes.deallocate() }
  }

  init(_ log: MachineWriter) { (self.log, buffer) = (log, Buffer()) }

  /// The digests of blocks that follow each other.
  func answer(_ query: BlockQuery) throws(VaultError) -> Digests {
    let sequence = try log.position().sequence
    let disk = try log.head(query.disk, size: query.size)
    let zero = digest(of: nil, query.salt)
    var digests: [ContentDigest?] = []
    digests.reserveCapacity(query.blocks.count)
    var data: UInt64 = 0
    for block in query.blocks {
      let start = block * UInt64(Layout.blockSize)
      if data < start { data = try Self.nextData(disk, from: start) }
      guard data < start + UInt64(Layout.blockSize) else {
        digests.append(zero)
        continue
      }
      digests.append(try read(disk, at: start) ? digest(of: 0..<Layout.blockSize, query.salt) : nil)
    }
    return Digests(sequence: sequence, digests: digests)
  }

  /// The digests of the pages of some blocks.
  func answer(_ query: PageQuery) throws(VaultError) -> Digests {
    let sequence = try log.position().sequence
    let disk = try log.head(query.disk, size: query.size)
    var digests: [ContentDigest?] = []
    for block in query.blocks {
      let isWhole = try read(disk, at: block * UInt64(Layout.blockSize))
      for page in 0..<Layout.pagesPerBlock {
        let range = page * Layout.pageSize..<(page + 1) * Layout.pageSize
        digests.append(isWhole ? digest(of: range, query.salt) : nil)
      }
    }
    return Digests(sequence: sequence, digests: digests)
  }

  private static func nextData(
    _ disk: DiskReader, from start: UInt64
  ) throws(VaultError) -> UInt64 {
    guard start < disk.size else { return .max }
    do { return try disk.nextData(from: start) ?? .max } catch let error as VaultError {
      guard error.code == .damaged else { throw error }
      // The block is read, and found to be damaged.
      return start
    } catch { throw VaultError(.io, "The replica can't be read: \(error)") }
  }

  /// Reads a block, zeros behind the disk's end; false if it is damaged.
  private func read(_ disk: DiskReader, at start: UInt64) throws(VaultError) -> Bool {
    let block = UInt64(Layout.blockSize)
    let count = start < disk.size ? Int(min(block, disk.size - start)) : 0
    UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[count...]).initializeMemory(
      as: UInt8.self, repeating: 0)
    guard count > 0 else { return true }
    do throws(VaultError) {
      try disk.readPages(
        into: UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[..<count]), at: start)
      return true
    } catch {
      guard error.code == .damaged else { throw error }
      return false
    }
  }

  private func digest(of range: Range<Int>?, _ salt: [UInt8]) -> ContentDigest {
    guard let range else {
      return [UInt8](repeating: 0, count: Layout.blockSize).withUnsafeBytes {
        ContentDigest(of: $0, salt: salt)
      }
    }
    return ContentDigest(of: UnsafeRawBufferPointer(rebasing: buffer.bytes[range]), salt: salt)
  }
}
