internal import Glibc
internal import NIOCore
internal import NIOPosix
internal import NIOSSL

/// What the errors of the layers below mean here.
extension TransportError {
  /// A connection to `target` that did not come about.
  static func connecting(_ error: any Error, to target: String) -> TransportError {
    switch error {
    case let error as TransportError: return error
    case let error as NIOConnectionError:
      // Of several addresses, the one that answers at all tells most.
      let reasons = error.connectionErrors.map { connecting($0.error, to: target) }
      if let told = reasons.first(where: { $0.code == .refused }) ?? reasons.first { return told }
      return TransportError(
        .unreachable, "'\(error.host)' has no address here. Check the name, and the name service.")
    case ChannelError.connectTimeout: return timedOut(connectingTo: target)
    case let error as IOError:
      return connecting(code: error.errnoCode, to: target)
    case is ChannelError: return hungUp(target)
    default: return TransportError(.unreachable, "Can't connect to \(target): \(error).")
    }
  }

  private static func connecting(code: CInt, to target: String) -> TransportError {
    let reason = String(cString: strerror(code))
    switch code {
    case ECONNREFUSED:
      return TransportError(
        .refused,
        "Nobody listens on \(target). Check that 'tidemark serve' runs there, and on that port.")
    case ETIMEDOUT: return timedOut(connectingTo: target)
    // A socket whose peer has reset it again already says the one or the other.
    case ECONNRESET, ENOTCONN, EPIPE, EINVAL: return hungUp(target)
    default:
      return TransportError(
        .unreachable, "Can't reach \(target): \(reason). Check the network and its firewalls.")
    }
  }

  private static func hungUp(_ target: String) -> TransportError {
    TransportError(
      .closed, "\(target) hung up at once. It may have too many connections, or be starting.")
  }

  static func timedOut(connectingTo target: String) -> TransportError {
    TransportError(
      .timedOut,
      "\(target) did not answer in time. Check the address, and that no firewall is between.")
  }

  /// A live or half-made connection with `peer` that failed. `isEarly` says that the peer had not
  /// sent anything yet: what fails then is often the peer's judgement of this end.
  static func failing(_ error: any Error, with peer: String, isEarly: Bool) -> TransportError {
    if let error = error as? TransportError { return error }
    if let error = error as? NIOSSLError { return failing(error, with: peer, isEarly) }
    let text = "\(error)"
    if text.contains("ALERT_"), text.contains("CERTIFICATE") || text.contains("UNKNOWN_CA") {
      return rejected(by: peer)
    }
    if error is BoringSSLError {
      return TransportError(.closed, "TLS with \(peer) failed: \(text).")
    }
    let reason = (error as? IOError).map { String(cString: strerror($0.errnoCode)) } ?? text
    let hint = isEarly ? " If this goes on, see what the other end logs of this one." : ""
    return TransportError(.closed, "The connection with \(peer) broke: \(reason).\(hint)")
  }

  private static func failing(
    _ error: NIOSSLError, with peer: String, _ isEarly: Bool
  ) -> TransportError {
    switch error {
    case .handshakeFailed(.sslError(let stack)) where stack == [.eofDuringHandshake]:
      return TransportError(
        .handshake, "\(peer) hung up during the TLS handshake. It may have too many connections.")
    case .handshakeFailed(let reason):
      let text = "\(reason)"
      if text.contains("ALERT_"), text.contains("CERTIFICATE") || text.contains("UNKNOWN_CA") {
        return rejected(by: peer)
      }
      return TransportError(
        .handshake, "\(peer) does not speak TLS 1.3 as Tidemark does: \(text).")
    case .uncleanShutdown:
      let hint = isEarly ? " If this goes on, see what the other end logs of this one." : ""
      return TransportError(.closed, "\(peer) went away without saying so.\(hint)")
    default: return TransportError(.closed, "TLS with \(peer) failed: \(error).")
    }
  }

  static func rejected(by peer: String) -> TransportError {
    TransportError(
      .rejected,
      "\(peer) does not accept this end's certificate: it may be revoked, expired by the clock "
        + "there, or of another vault. The other end logs the reason; enrol this one again.")
  }
}
