public import Bytes
internal import FileIO
internal import FoundationEssentials

/// Has a process of its own read the facts of a guest, and gives it the bytes it asks for.
///
/// What such a process makes of a hostile disk is its own affair: it can open nothing else, for it gives up root
/// and may have no more descriptors than it has, has little memory and time, and if it dies there simply are no facts. Line by line it asks `read DISK OFFSET COUNT` and
/// gets `ok` and the bytes, or `failed`; it ends with `facts` and a line of JSON.
public struct GuestFactsProcess: Sendable {
  /// Bytes of one read, and of the facts, at the most.
  static let (readLimit, factsLimit) = (4 << 20, 1 << 20)
  /// Bytes of a line with an order.
  private static let orderLimit = 2 << 20
  /// Disks of a guest that are looked at.
  public static let diskLimit = 64

  /// The command to run, such as this program's own; the numbers and sizes of the disks are added to it.
  public let command: [String]

  /// Reads facts by a process that runs this command, the path of a program first, and in it calls
  /// `GuestFactsServer.run` with the arguments that are added.
  public init(command: [String]) { self.command = command }

  /// The facts of the guest on these disks, in the order in which it has them, named by these numbers. Blocks until they are read, or
  /// the deadline has come. What can't be read is not checked, and says why; nothing is thrown.
  public func facts(
    of disks: [any DiskContent], numbers: [Int]? = nil, until deadline: ContinuousClock.Instant
  ) -> GuestFacts {
    guard let program = command.first, disks.count <= Self.diskLimit else {
      return GuestFacts(disks: disks.count, notChecked: "There are too many disks.")
    }
    do throws(IOError) {
      let numbers = numbers ?? Array(disks.indices)
      let arguments = command + zip(numbers, disks).map { "\($0)=\($1.size)" }
      var child = try ChildProcess(program, arguments, environment: [], .conversation)
      defer { child.end() }
      return try serve(&child, disks, until: deadline)
        ?? GuestFacts(disks: disks.count, notChecked: "The program that reads the disks failed.")
    } catch {
      let reason = error.isTimeout ? "Reading the disks took too long." : error.description
      return GuestFacts(disks: disks.count, notChecked: reason)
    }
  }

  /// Answers until the facts have come; nil if they don't.
  private func serve(
    _ child: inout ChildProcess, _ disks: [any DiskContent],
    until deadline: ContinuousClock.Instant
  ) throws(IOError) -> GuestFacts? {
    let budget = ReadBudget()
    while let line = try child.stream.line(limit: Self.orderLimit, until: deadline) {
      let text = String(decoding: line, as: UTF8.self)
      if text.hasPrefix("facts ") {
        let facts = try? JSONDecoder().decode(GuestFacts.self, from: Data(text.utf8.dropFirst(6)))
        return facts?.disks.count == disks.count ? facts : nil
      }
      guard let (disk, offset, count) = Self.order(text, disks) else { return nil }
      var answer = Array("ok\n".utf8) + [UInt8](repeating: 0, count: count)
      let isRead =
        budget.take(count)
        && answer.withUnsafeMutableBytes {
          (try? disks[disk].read(into: .init(rebasing: $0[3...]), at: offset)) != nil
        }
      try child.stream.send(isRead ? answer : Array("failed\n".utf8), until: deadline)
    }
    return nil
  }

  /// What is asked for, if it lies within a disk.
  private static func order(
    _ text: String, _ disks: [any DiskContent]
  ) -> (disk: Int, offset: UInt64, count: Int)? {
    let words = text.split(separator: " ")
    guard words.count == 4, words[0] == "read", let disk = Int(words[1]),
      let offset = UInt64(words[2]), let count = Int(words[3]), disks.indices.contains(disk),
      0...readLimit ~= count, offset <= disks[disk].size,
      UInt64(count) <= disks[disk].size - offset
    else { return nil }
    return (disk, offset, count)
  }
}

/// The other end of `GuestFactsProcess`: what the process does.
public enum GuestFactsServer {
  /// Bytes of memory, and seconds of processor time, that it gets.
  private static let (memory, seconds): (UInt64, UInt64) = (2 << 30, 30)
  /// How long an answer is waited for.
  static let patience = Duration.seconds(60)

  /// Reads facts of disks of these numbers and sizes, each as `NUMBER=SIZE`, over standard input, writes them
  /// there, and returns; nothing if one of them is none.
  public static func run(disks words: [String]) {
    let described = words.compactMap { word -> (number: Int, size: UInt64)? in
      let parts = word.split(separator: "=")
      guard parts.count == 2, let number = Int(parts[0]), let size = UInt64(parts[1]) else {
        return nil
      }
      return (number, size)
    }
    guard described.count == words.count else { return }
    ProcessLimits.set(memory: memory, seconds: seconds)
    // Nobody reads a disk with more.
    guard (try? ProcessLimits.dropRights()) != nil else { return }
    let conversation = RemoteDisk.Conversation()
    let disks = described.enumerated().map {
      RemoteDisk(conversation, $0.offset, $0.element.size)
    }
    let facts = GuestReader(disks, numbers: described.map(\.number)).facts()
    guard let bytes = try? JSONEncoder().encode(facts) else { return }
    try? conversation.stream.send(
      Array("facts ".utf8) + Array(bytes) + [UInt8(ascii: "\n")], until: .now + patience)
  }
}
