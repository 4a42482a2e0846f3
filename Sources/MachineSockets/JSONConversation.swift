internal import FileIO
internal import FoundationEssentials

/// Commands and answers as lines of JSON over a socket, as QEMU's monitor and guest agent speak.
///
/// Each of these serves one client at a time, so nobody stays connected for longer than he asks. All calls
/// block, until the deadline at the most. For one thread at a time.
public struct JSONConversation: ~Copyable {
  /// Lines that are passed over while an answer is awaited.
  private static let noiseLimit = 1000

  private let path: String
  private let lineLimit: Int
  private let deadline: ContinuousClock.Instant
  private var stream: ByteStream

  /// Connects; everything that follows has to be done by the deadline, and no answer may have more than
  /// `lineLimit` bytes: true ones have a few hundred, listings of devices some thousands.
  ///
  /// - Throws: `.missing` if nobody listens there.
  public init(
    _ path: String, lineLimit: Int = 64 << 10, until deadline: ContinuousClock.Instant
  ) throws(ConversationError) {
    (self.path, self.lineLimit, self.deadline) = (path, lineLimit, deadline)
    do throws(IOError) { stream = try ByteStream(connectingTo: path, until: deadline) } catch {
      guard error.isMissing || error.isNobodyThere else { throw ConversationError(error) }
      throw ConversationError(
        .missing, "Nobody listens at '\(path)': the machine does not run.")
    }
  }

  /// An answer, or something that was not asked for.
  private struct Answer: Decodable {
    struct Failure: Decodable { var desc: String? }

    var error: Failure?
    var value: JSONValue?
    var event: String?
    var greeting: JSONValue?

    enum CodingKeys: String, CodingKey {
      case error, event
      case value = "return"
      case greeting = "QMP"
    }
  }

  private struct Command: Encodable {
    var execute: String
    var arguments: [String: JSONValue]?
  }

  /// Sends a line.
  private func send(_ bytes: [UInt8]) throws(ConversationError) {
    do throws(IOError) {
      try stream.send(bytes + [UInt8(ascii: "\n")], until: deadline)
    } catch { throw ConversationError(error) }
  }

  /// Sends a command and waits for what it gives; events meanwhile are passed over.
  ///
  /// - Throws: `.refused` with the reason given, if the other side can't or won't do it.
  public mutating func ask(
    _ command: String, _ arguments: [String: JSONValue] = [:]
  ) throws(ConversationError) -> JSONValue {
    let whole = Command(execute: command, arguments: arguments.isEmpty ? nil : arguments)
    guard let bytes = try? JSONEncoder().encode(whole) else { throw strange }
    try send(Array(bytes))
    for _ in 0..<Self.noiseLimit {
      let answer = try decode(try line())
      if answer.event != nil { continue }
      if let failure = answer.error {
        let text = failure.desc.map { String($0.prefix(500)) } ?? "no reason given"
        throw ConversationError(.refused, "'\(path)' refused \(command): \(text)")
      }
      if let value = answer.value { return value }
      throw strange
    }
    throw strange
  }

  /// Waits for the greeting of a monitor, and has it take commands ("QEMU QMP Reference Manual":
  /// qmp_capabilities).
  public mutating func greet() throws(ConversationError) {
    guard try decode(try line()).greeting != nil else { throw strange }
    _ = try ask("qmp_capabilities")
  }

  /// Passes over everything up to the answer to a `guest-sync-delimited` with this number, which begins
  /// after a byte that occurs in no JSON: what an earlier client left unread is of no concern.
  public mutating func synchronise(_ number: Int64) throws(ConversationError) {
    // The same byte makes the agent forget what an earlier client has left half said.
    let text = #"{"execute":"guest-sync-delimited","arguments":{"id":\#(number)}}"#
    try send([0xFF] + Array(text.utf8))
    for _ in 0..<Self.noiseLimit {
      let line = try line()
      guard let mark = line.lastIndex(of: 0xFF) else { continue }
      let answer = try? decode(Array(line[(mark + 1)...]))
      if answer?.value == .number(number) { return }
    }
    throw strange
  }

  private mutating func line() throws(ConversationError) -> [UInt8] {
    let (deadline, lineLimit) = (deadline, lineLimit)
    let line: [UInt8]?
    do throws(IOError) {
      line = try stream.line(limit: lineLimit, until: deadline)
    } catch { throw ConversationError(error) }
    guard let line else {
      throw ConversationError(.failed, "'\(path)' ended the conversation.")
    }
    return line
  }

  private func decode(_ line: [UInt8]) throws(ConversationError) -> Answer {
    guard let answer = try? JSONDecoder().decode(Answer.self, from: Data(line)) else {
      throw strange
    }
    return answer
  }

  private var strange: ConversationError {
    ConversationError(
      .failed, "'\(path)' answered with something that is no answer. Is it the right socket?")
  }
}

extension ConversationError {
  init(_ error: IOError) {
    if error.isTimeout {
      self.init(.timeout, "'\(error.path)' did not answer in time.")
    } else if error.isTooLong {
      self.init(.failed, "'\(error.path)' answered with more than is allowed.")
    } else {
      self.init(.failed, error.description)
    }
  }
}
