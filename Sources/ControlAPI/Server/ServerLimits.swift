/// What one peer, and all of them together, may cost the service.
public struct ServerLimits: Sendable {
  /// Connections of a listener at a time. More wait in the system's queue, unanswered, until some
  /// end; an idle one ends by `idleSeconds`.
  public var connections = 1024
  /// Bytes of a request's body.
  public var body = 256 << 10
  /// Bytes of all header fields of a request.
  public var headers = 16 << 10
  /// Header fields of a request.
  public var headerCount = 64
  /// Seconds a connection may be idle, or take to send its head, its TLS handshake included.
  public var idleSeconds: Int64 = 15
  /// Seconds the body of a request may take to come, and its answer to be taken.
  public var transferSeconds: Int64 = 30
  /// Requests that are worked on at a time; more wait.
  public var workers = 8

  /// The usual limits.
  public init() {}
}
