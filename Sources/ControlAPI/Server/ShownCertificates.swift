internal import NIOSSL
public import Operations
internal import Synchronization

/// What HTTPS shows to each new connection; it can be changed while others live.
final class ShownCertificates: Sendable {
  private struct State: Sendable {
    var usual = NIOSSLContextConfigurationOverride.noChanges
    var vault: NIOSSLContextConfigurationOverride?
  }

  private let state = Mutex(State())

  /// - Throws: `.refused` if these are no certificate and key.
  func set(
    certificate: String, key: String, forVault isForVault: Bool = false
  ) throws(OperationError) {
    var identity = NIOSSLContextConfigurationOverride()
    do {
      let chain = try NIOSSLCertificate.fromPEMBytes(Array(certificate.utf8))
      let key = try NIOSSLPrivateKey(bytes: Array(key.utf8), format: .pem)
      identity.certificateChain = chain.map { .certificate($0) }
      identity.privateKey = .privateKey(key)
    } catch {
      throw OperationError(
        .refused, "The certificate and key for HTTPS can't be used: \(error). Give both as PEM.")
    }
    let made = identity
    state.withLock { state in
      if isForVault { state.vault = made } else { state.usual = made }
    }
  }

  /// What a client is shown that calls the server so.
  func identity(for name: String?) -> NIOSSLContextConfigurationOverride {
    state.withLock { state in
      let isVault = name?.lowercased() == ControlServer.vaultServerName
      return isVault ? state.vault ?? state.usual : state.usual
    }
  }
}

extension ControlServer {
  /// The server name (RFC 6066, 3) by which an agent asks for the certificate of the vault's own authority,
  /// the only one it can judge, wherever HTTPS shows everybody else the certificate of another.
  public static let vaultServerName = "vault.tidemark.internal"

  /// Shows this certificate, with what leads to its authority, over HTTPS from the next connection on.
  ///
  /// - Throws: `.refused` if PEM of a certificate and its key is not what they are; nothing is changed.
  public func show(certificate: String, key: String) throws(OperationError) {
    try shown.set(certificate: certificate, key: key)
  }

  /// Shows this certificate, which the vault's own authority issued, to whoever calls the server
  /// ``vaultServerName``, from the next connection on.
  ///
  /// - Throws: `.refused` if PEM of a certificate and its key is not what they are; nothing is changed.
  public func showToAgents(certificate: String, key: String) throws(OperationError) {
    try shown.set(certificate: certificate, key: key, forVault: true)
  }
}
