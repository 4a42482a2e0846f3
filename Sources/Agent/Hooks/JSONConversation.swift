internal import FileIO
internal import FoundationEssentials

/// Commands and answers as lines of JSON over a socket, as QEMU's monitor and guest agent speak.
struct JSONConversation: ~Copyable {
  /// Bytes of an answer at the most; true ones have a few hundred.
  static let lineLimit = 64 << 10
  /// Lines that are passed over while an answer is awaited.
  private static let noiseLimit = 1000

  private let path: String
  private let deadline: ContinuousClock.Instant
  private var stream: ByteStream

  /// Connects; everything that follows has to be done by the deadline.
  ///
  /// - Throws: `.missing` if nobody listens there, `.hook`.
  init(_ path: String, until deadline: ContinuousClock.Instant) throws(AgentError) {
    (self.path, self.deadline) = (path, deadline)
    do throws(IOError) { stream = try ByteStream(connectingTo: path, until: deadline) } catch {
      guard error.isMissing || error.isNobodyThere else { throw AgentError(hook: error) }
      throw AgentError(.missing, "Nobody listens at '\(path)': the machine does not run.")
    }
  }

  /// An answer, or something that was not asked for.
  struct Answer: Decodable {
    struct Failure: Decodable { var desc: String? }
    /// What a command gives, as far as it is of use here.
    enum Value: Decodable {
      case number(Int64)
      case text(String)
      case status(running: Bool, status: String)
      case other

      init(from decoder: any Decoder) throws {
        let value = try decoder.singleValueContainer()
        if let number = try? value.decode(Int64.self) {
          self = .number(number)
        } else if let text = try? value.decode(String.self) {
          self = .text(text)
        } else if let status = try? value.decode(Status.self) {
          self = .status(running: status.running, status: status.status)
        } else {
          self = .other
        }
      }
    }
    private struct Status: Decodable {
      var running: Bool
      var status: String
    }
    struct Greeting: Decodable {}

    var error: Failure?
    var value: Value?
    var event: String?
    var greeting: Greeting?

    enum CodingKeys: String, CodingKey {
      case error, event
      case value = "return"
      case greeting = "QMP"
    }
  }

  /// Sends a line.
  func send(_ text: String, after prefix: [UInt8] = []) throws(AgentError) {
    try inHook { () throws(IOError) in
      try stream.send(prefix + Array(text.utf8) + [UInt8(ascii: "\n")], until: deadline)
    }
  }

  /// Sends a command and waits for what it gives.
  mutating func ask(_ command: String) throws(AgentError) -> Answer.Value {
    try send(#"{"execute":"\#(command)"}"#)
    for _ in 0..<Self.noiseLimit {
      let answer = try decode(try line())
      if answer.event != nil { continue }
      if let failure = answer.error {
        let text = failure.desc.map { String($0.prefix(500)) } ?? "no reason given"
        throw AgentError(.hook, "'\(path)' refused \(command): \(text)")
      }
      if let value = answer.value { return value }
      throw strange
    }
    throw strange
  }

  /// Waits for the greeting of a monitor.
  mutating func greet() throws(AgentError) {
    guard try decode(try line()).greeting != nil else { throw strange }
  }

  /// Passes over everything up to the answer to a `guest-sync-delimited` with this number, which begins
  /// after a byte that occurs in no JSON: what an earlier client left unread is of no concern.
  mutating func synchronise(_ number: Int64) throws(AgentError) {
    // The same byte makes the agent forget what an earlier client has left half said.
    try send(
      #"{"execute":"guest-sync-delimited","arguments":{"id":\#(number)}}"#, after: [0xFF])
    for _ in 0..<Self.noiseLimit {
      let line = try line()
      guard let mark = line.lastIndex(of: 0xFF) else { continue }
      let answer = try? decode(Array(line[(mark + 1)...]))
      if case .number(number)? = answer?.value { return }
    }
    throw strange
  }

  private mutating func line() throws(AgentError) -> [UInt8] {
    let deadline = deadline
    let line: [UInt8]?
    do throws(IOError) {
      line = try stream.line(limit: Self.lineLimit, until: deadline)
    } catch { throw AgentError(hook: error) }
    guard let line else {
      throw AgentError(.hook, "'\(path)' ended the conversation.")
    }
    return line
  }

  private func decode(_ line: [UInt8]) throws(AgentError) -> Answer {
    guard let answer = try? JSONDecoder().decode(Answer.self, from: Data(line)) else {
      throw strange
    }
    return answer
  }

  private var strange: AgentError {
    AgentError(
      .hook, "'\(path)' answered with something that is no answer. Is it the right socket?")
  }
}
