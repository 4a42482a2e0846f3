internal import FoundationEssentials

/// What an agent asks of a freeze's guard, in its first line. All that follows is one more line, which asks it
/// to thaw, as the end of the stream does.
struct FreezeRequest: Codable, Hashable {
  /// Bytes of it at the most.
  static let limit = 1 << 20

  /// What to freeze by.
  var plan: HookPlan
  /// Whether only to thaw what an earlier freeze has left behind, for as long as that takes.
  var isThawOnly: Bool
}

/// What a guard tells, a line each.
struct FreezeEvent: Codable, Hashable {
  /// Bytes of it at the most.
  static let limit = 64 << 10

  /// What happened.
  enum Kind: String, Codable {
    /// All hooks have frozen.
    case frozen
    /// One could not, or there is another reason not to freeze; what was frozen is being thawed.
    case failed
    /// It begins to thaw; `message` says why, if nobody has asked for it.
    case thawing
    /// Something could not be thawed yet; it is tried again.
    case retrying
    /// Nothing is frozen any more. The last event.
    case thawed
  }

  /// What happened.
  var kind: Kind
  /// Why, or what a person should know.
  var message: String?
  /// Since the first hook began to freeze.
  var milliseconds: Int?

  init(_ kind: Kind, _ message: String? = nil, milliseconds: Int? = nil) {
    (self.kind, self.milliseconds) = (kind, milliseconds)
    self.message = message.map { String($0.prefix(4000)) }
  }
}

/// A message as a line.
func encodedLine(_ message: some Encodable) -> [UInt8] {
  // Nothing in these messages is a number that can't be encoded.
  ((try? JSONEncoder().encode(message)).map { Array($0) } ?? []) + [UInt8(ascii: "\n")]
}

/// The message of a line; nil if it is none.
func decodedLine<Message: Decodable>(_ line: [UInt8]) -> Message? {
  try? JSONDecoder().decode(Message.self, from: Data(line))
}
