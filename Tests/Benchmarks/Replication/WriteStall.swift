internal import FileIO
internal import Foundation
internal import Support
internal import Synchronization

/// Writes to an image all the time, as a machine in use would, and notes how long a write took at worst.
final class WriteStall: Sendable {
  private let worst = Mutex(Duration.zero)
  private let isOver = Atomic(false)
  private let ended = DispatchSemaphore(value: 0)

  /// Begins to write one page after another to the first MiB of an image, about a thousand a second.
  init(on path: String) throws {
    let file = try File(path, .writing)
    let page = try File(path, .reading).read(at: 0, count: 1 << 20)
    Self.run(file, page, self)
  }

  private static func run(_ file: consuming File, _ bytes: [UInt8], _ stall: WriteStall) {
    let writer = Writer(file, bytes)
    Thread.detachNewThread {
      var number = 0
      while !stall.isOver.load(ordering: .relaxed) {
        let time = ContinuousClock().measure { writer.write(number) }
        stall.worst.withLock { $0 = max($0, time) }
        number += 1
        usleep(1000)
      }
      stall.ended.signal()
    }
  }

  /// Only the thread that writes uses it.
  private final class Writer: @unchecked Sendable {
    private let file: File
    private let bytes: [UInt8]

    init(_ file: consuming File, _ bytes: [UInt8]) {
      self.file = file
      self.bytes = bytes
    }

    func write(_ number: Int) {
      let start = number % 256 * 4096
      try? file.write(Array(bytes[start..<start + 4096]), at: UInt64(start))
    }
  }

  /// Stops writing, and gives the longest time a write has taken, in milliseconds.
  func end() -> Double {
    isOver.store(true, ordering: .relaxed)
    ended.wait()
    return worst.withLock { $0 }.inSeconds * 1000
  }
}
