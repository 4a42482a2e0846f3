public import Replication
internal import ReplicationService

/// Why the agent could not do something: a code for programs, a sentence for people.
public struct AgentError: Error, Sendable, CustomStringConvertible {
  /// The kinds of failure that callers tell apart.
  public enum Code: String, Sendable, CaseIterable {
    /// The service can't be reached, or the connection ended.
    case link
    /// The service refused the session; `refusal` says for what kind of reason.
    case refused
    /// What the service sent breaks the protocol.
    case protocolBroken
    /// Something of the agent's own directory is missing, damaged or can't be written.
    case state
    /// It was told to stop.
    case cancelled
  }

  /// What kind of failure it was.
  public let code: Code
  /// What failed, on what, why, and what to do next.
  public let message: String
  /// Why the service refused, where it did.
  public let refusal: Refusal.Code?

  /// Describes a failure.
  public init(_ code: Code, _ message: String) {
    (self.code, self.message, refusal) = (code, message, nil)
  }

  init(_ refusal: Refusal) {
    (code, message, self.refusal) = (.refused, refusal.text, refusal.code)
  }

  init(_ error: TransportError) {
    self.init(error.code == .cancelled ? .cancelled : .link, error.message)
  }

  init(_ error: ProtocolError) { self.init(.protocolBroken, error.message) }

  /// The message.
  public var description: String { message }
}

/// Runs `body` and turns the failure of a link into one of the agent.
func onLink<Result>(_ body: () throws(TransportError) -> Result) throws(AgentError) -> Result {
  do { return try body() } catch { throw AgentError(error) }
}

/// Runs `body` and turns a breach of the protocol into a failure of the agent.
func inProtocol<Result>(_ body: () throws(ProtocolError) -> Result) throws(AgentError) -> Result {
  do { return try body() } catch { throw AgentError(error) }
}
