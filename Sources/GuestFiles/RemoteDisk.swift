internal import Bytes
internal import FileIO

/// A disk whose bytes another process gives.
struct RemoteDisk: DiskContent {
  /// For the one thread there is.
  final class Conversation: @unchecked Sendable {
    // Only the thread that runs `run` ever has it: the disks are read by nobody else.
    var stream = ByteStream.standardInput()
  }

  let conversation: Conversation
  let number: Int
  let size: UInt64

  init(_ conversation: Conversation, _ number: Int, _ size: UInt64) {
    (self.conversation, self.number, self.size) = (conversation, number, size)
  }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws {
    var done = 0
    while done < buffer.count {
      let count = min(buffer.count - done, GuestFactsProcess.readLimit)
      let deadline = ContinuousClock.now + GuestFactsServer.patience
      let order = "read \(number) \(offset + UInt64(done)) \(count)\n"
      try conversation.stream.send(Array(order.utf8), until: deadline)
      let answer = try conversation.stream.line(limit: 16, until: deadline) ?? []
      guard answer.elementsEqual("ok".utf8),
        let bytes = try conversation.stream.bytes(count, until: deadline)
      else { throw Unreadable(path: "disk \(number)") }
      UnsafeMutableRawBufferPointer(rebasing: buffer[done...]).copyBytes(from: bytes)
      done += count
    }
  }

  func nextData(from offset: UInt64) -> UInt64? { offset < size ? offset : nil }

  func nextHole(from offset: UInt64) -> UInt64 { size }
}
