internal import Bytes
internal import Identity
internal import NIOCore
internal import NIOSSL
internal import Synchronization

/// TLS 1.3 with certificates on both ends, each judged by the vault's own authority and nothing else.
///
/// BoringSSL proves that the peer holds the key of its certificate; whether that certificate is worth
/// anything is for `Trust` to say. It is asked twice: during the handshake, so that the peer is told,
/// and after it, because a resumed session skips the first.
enum TLS {
  static func context(
    _ credentials: Credentials, isServer: Bool
  ) throws(TransportError) -> NIOSSLContext {
    do {
      let certificate = try NIOSSLCertificate(
        bytes: Array(credentials.certificatePEM.utf8), format: .pem)
      let authority = try NIOSSLCertificate(
        bytes: Array(credentials.trust.certificatePEM.utf8), format: .pem)
      let key = try NIOSSLPrivateKey(bytes: Array(credentials.privateKeyPEM.utf8), format: .pem)
      var configuration =
        isServer
        ? TLSConfiguration.makeServerConfiguration(
          certificateChain: [.certificate(certificate)], privateKey: .privateKey(key))
        : TLSConfiguration.makeClientConfiguration()
      configuration.certificateChain = [.certificate(certificate)]
      configuration.privateKey = .privateKey(key)
      configuration.minimumTLSVersion = .tlsv13
      configuration.maximumTLSVersion = .tlsv13
      configuration.certificateVerification = .noHostnameVerification
      configuration.trustRoots = .certificates([authority])
      configuration.renegotiationSupport = .none
      configuration.shutdownTimeout = .seconds(2)
      return try NIOSSLContext(configuration: configuration)
    } catch {
      throw TransportError(
        .credentials, "The key and certificate of this end can't be used for TLS: \(error).")
    }
  }
}

/// Decides whether the certificate a peer shows is good enough, and remembers why not.
final class PeerCheck: Sendable {
  /// Whom this end talks to.
  enum Expectation: Sendable {
    case server(Role)
    case agentOrRelay(isRevoked: @Sendable (PeerIdentity) -> Bool)
  }

  private let trust: Trust
  private let expectation: Expectation
  private let now: @Sendable () -> Timestamp
  private let objection = Mutex<TransportError?>(nil)

  init(_ trust: Trust, _ expectation: Expectation, now: @escaping @Sendable () -> Timestamp) {
    (self.trust, self.expectation, self.now) = (trust, expectation, now)
  }

  /// Why the peer was turned away during the handshake; nil if it was not.
  var failure: TransportError? { objection.withLock { $0 } }

  /// Tells who shows `certificate`.
  func identity(_ certificate: NIOSSLCertificate?) throws(TransportError) -> PeerIdentity {
    do throws(TransportError) {
      return try judge(certificate)
    } catch {
      objection.withLock { $0 = error }
      throw error
    }
  }

  private func judge(_ certificate: NIOSSLCertificate?) throws(TransportError) -> PeerIdentity {
    guard let bytes = try? certificate?.toDERBytes() else {
      throw TransportError(.handshake, "The peer showed no certificate.")
    }
    let peer: PeerIdentity
    do throws(IdentityError) {
      peer = try trust.verify(certificateDER: bytes, now: now())
    } catch {
      throw TransportError(.handshake, "\(error.message)")
    }
    switch (expectation, peer.role) {
    case (.server(let role), _) where role == peer.role: return peer
    case (.server(let role), _):
      throw TransportError(
        .handshake, "The peer is \(peer.role), not \(role). Check the address.")
    case (.agentOrRelay, .service):
      throw TransportError(.handshake, "The peer is a service, neither agent nor relay.")
    case (.agentOrRelay(let isRevoked), _):
      guard !isRevoked(peer) else {
        throw TransportError(.handshake, "The certificate of \(peer) was revoked.")
      }
      return peer
    }
  }

  /// What NIOSSL calls during the handshake.
  var callback: NIOSSLCustomVerificationCallback {
    { certificates, promise in
      do throws(TransportError) {
        _ = try self.identity(certificates.first)
        promise.succeed(.certificateVerified)
      } catch {
        promise.succeed(.failed)
      }
    }
  }
}
