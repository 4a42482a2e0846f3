internal import Identity
public import Replication
internal import ReplicationService

/// Why the agent could not do something: a code for programs, a sentence for people.
public struct AgentError: Error, Sendable, CustomStringConvertible {
  /// The kinds of failure that callers tell apart.
  public enum Code: String, Sendable, CaseIterable {
    /// The service can't be reached, or the connection ended.
    case link
    /// A rule forbids it; where it was the service that refused, `refusal` says for what kind of reason.
    case refused
    /// What the service sent breaks the protocol.
    case protocolBroken
    /// A file of the agent's own directory can't be read or written.
    case state
    /// The agent's directory, or something in it, is not there: the machine is not enrolled.
    case missing
    /// A file of the agent's directory is not what was written.
    case damaged
    /// Another agent runs on the same directory.
    case locked
    /// There is no such disk.
    case unknown
    /// A disk is missing, or can't be read that way.
    case source
    /// A hook could not hold writers, or let them go.
    case hook
    /// It was told to stop.
    case cancelled
    /// The time of its certificate is over: a person has to enrol it again.
    case expired
  }

  /// What kind of failure it was.
  public let code: Code
  /// What failed, on what, why, and what to do next.
  public let message: String
  /// Why the service refused, where it did.
  public let refusal: Refusal.Code?
  /// Where to go instead, where the service said so.
  let place: ServerPlace?

  /// Describes a failure.
  public init(_ code: Code, _ message: String) {
    (self.code, self.message, refusal, place) = (code, message, nil, nil)
  }

  init(_ refusal: Refusal) {
    (code, message) = (.refused, refusal.text)
    (self.refusal, place) = (refusal.code, refusal.place)
  }

  init(_ error: TransportError) {
    self.init(error.code == .cancelled ? .cancelled : .link, error.message)
  }

  init(_ error: IdentityError) {
    switch error.code {
    case .missing: self.init(.missing, error.message)
    case .io: self.init(.state, error.message)
    default: self.init(.damaged, error.message)
    }
  }

  /// A certificate whose time is over.
  init(expired error: IdentityError) {
    self.init(
      .expired,
      "\(error.message) Check this machine's clock; if it is right, stop the agent and enrol again "
        + "with a new registration key: 'tidemark agent enrol --again'.")
  }

  init(_ error: ProtocolError) { self.init(.protocolBroken, error.message) }

  /// The message.
  public var description: String { message }
}

extension SigningKey {
  /// Signs a group for a session.
  func signGroup(_ digest: [UInt8]) throws(ProtocolError) -> [UInt8] {
    do throws(IdentityError) { return try sign(digest) } catch {
      throw ProtocolError(.unsigned, "The machine's key does not sign. \(error.message)")
    }
  }
}

/// Runs `body` and turns the failure of a link into one of the agent.
func onLink<Result>(_ body: () throws(TransportError) -> Result) throws(AgentError) -> Result {
  do { return try body() } catch { throw AgentError(error) }
}

/// Runs `body` and turns a breach of the protocol into a failure of the agent.
func inProtocol<Result>(_ body: () throws(ProtocolError) -> Result) throws(AgentError) -> Result {
  do { return try body() } catch { throw AgentError(error) }
}

/// Runs `body` and turns a failure with keys and certificates into one of the agent.
func inIdentity<Result>(_ body: () throws(IdentityError) -> Result) throws(AgentError) -> Result {
  do { return try body() } catch { throw AgentError(error) }
}
