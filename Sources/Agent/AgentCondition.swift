internal import Bytes
internal import FoundationEssentials
internal import Identity

/// How an agent is doing, as `status.json` and `agent status` tell it. The names of its fields are a
/// promise.
public struct AgentCondition: Codable, Hashable, Sendable {
  /// What an agent is about.
  public enum State: String, Codable, Sendable, CaseIterable {
    /// It has no session with the service, and tries to get one.
    case connecting
    /// It waits for its next cycle.
    case waiting
    /// It copies everything for the first time.
    case copying
    /// It sends what changed.
    case cycling
    /// It compares with the replica.
    case resynchronising
    /// An operator has paused it.
    case paused
    /// It sends nothing until somebody begins the resynchronisation that is required.
    case resynchronisationRequired
    /// Nobody has enabled the machine yet.
    case unprotected
    /// The service does not let it in.
    case refused
    /// Its machine has failed over, and nothing is taken of it any more.
    case fenced
    /// It does not run.
    case stopped
  }

  /// How far a cycle has come.
  public struct Progress: Codable, Hashable, Sendable {
    /// Bytes compared.
    public var examinedBytes: UInt64
    /// Bytes to compare.
    public var totalBytes: UInt64
    /// Bytes of pages that differ.
    public var changedBytes: UInt64
    /// Bytes of the replica's digests that were asked for.
    public var digestBytes: UInt64?
  }

  /// A recovery point it made.
  public struct Point: Codable, Hashable, Sendable {
    /// The point's id.
    public var id: String
    /// The moment it shows.
    public var time: String
  }

  /// Something that went wrong.
  public struct Failure: Codable, Hashable, Sendable {
    /// When.
    public var time: String
    /// What, and what to do.
    public var message: String
  }

  /// What it is about.
  public var state = State.stopped
  /// When this was written.
  public var updated = ""
  /// The release of the service, once it has answered.
  public var serviceVersion: String?
  /// The relay that its sessions go through; nil if they go to the service itself.
  public var processServer: String?
  /// When something came from the service last.
  public var lastContact: String?
  /// Seconds from one cycle to the next.
  public var intervalSeconds: Int?
  /// Bytes a second that it may send now; nil for no limit.
  public var bandwidth: Int?
  /// The newest recovery point it made.
  public var lastPoint: Point?
  /// The newest app-consistent recovery point it made.
  public var lastApplicationPoint: Point?
  /// Why the newest point that was to be app-consistent is not, or writers were not held; nil if all is well.
  public var applicationError: Failure?
  /// How long writers were held in the newest cycle that held them, freezing and thawing included.
  public var heldMilliseconds: Int?
  /// How long writes to the images stood still in the newest cycle while these were cloned, all together.
  public var stallMilliseconds: Int?
  /// How far the cycle has come that runs.
  public var progress: Progress?
  /// Why the newest cycle or session failed; nil once one has worked.
  public var lastError: Failure?
  /// Until when the machine's certificate is good.
  public var certificateExpires: String?
  /// Why renewing it failed the last time; nil once it has worked.
  public var renewalError: Failure?
  /// When and why the service refused the machine because it has failed over; nil if it did not.
  public var fenced: Failure?
  /// When the fence hook was run, and how that went; nil if it was not.
  public var fenceHook: Failure?
  /// Why a resynchronisation is required, as far as this agent has found that; nil if none is.
  public var resynchronisation: String?
  /// The newest number that is known to be durable, and of which machine.
  public var durable: Durable?

  /// A number of a machine's log.
  public struct Durable: Codable, Hashable, Sendable {
    /// The machine.
    public var machine: String
    /// The number.
    public var sequence: UInt64
  }

  /// Whether a person should look.
  public var needsAttention: Bool {
    let states: [State] = [.stopped, .refused, .fenced, .resynchronisationRequired]
    return states.contains(state) || resynchronisation != nil || lastError != nil
      || renewalError != nil || applicationError != nil
  }

  init() {}

  /// Takes notice of the certificate of an agent that does not run and so can't do that itself.
  mutating func judge(_ credentials: Credentials, at now: Timestamp) {
    certificateExpires = credentials.identity.notAfter.iso8601
    do throws(IdentityError) { try credentials.checkValidity(at: now) } catch {
      lastError = Failure(time: now.iso8601, message: AgentError(expired: error).message)
    }
  }

  init?(_ bytes: [UInt8]) {
    guard let status = try? JSONDecoder().decode(Self.self, from: Data(bytes)) else { return nil }
    self = status
  }

  func encode() -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    // Nothing in it is a number that can't be encoded.
    return (try? encoder.encode(self)).map { Array($0) } ?? []
  }
}
