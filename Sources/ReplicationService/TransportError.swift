/// Why a connection could not be made or went away: a code for programs, a sentence for people.
public struct TransportError: Error, Sendable, CustomStringConvertible {
  /// The kinds of failure a caller can tell apart.
  public enum Code: String, Sendable, CaseIterable {
    /// Nobody listens there.
    case refused
    /// The host is not known, or there is no way to it.
    case unreachable
    /// The peer is not who it should be, or does not speak TLS 1.3.
    case handshake
    /// The peer does not accept this end.
    case rejected
    /// This end's own certificate can't be used.
    case credentials
    /// The peer ended the connection, or the network did.
    case closed
    /// It took too long.
    case timedOut
    /// What came is no frame.
    case malformed
    /// The certificate of the peer was revoked, or expired, while it was connected.
    case cut
    /// This end was told to stop.
    case cancelled
    /// The address can't be listened on.
    case address
    /// A relay's cache can't be used.
    case cache
  }

  /// What kind of failure it was.
  public let code: Code
  /// What failed, on what, and what to do next.
  public let message: String

  /// Describes a failure.
  public init(_ code: Code, _ message: String) { (self.code, self.message) = (code, message) }

  /// The message.
  public var description: String { message }
}
