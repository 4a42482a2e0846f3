public import Bytes
internal import Crypto

/// Asks for a new certificate in the place of one that is good: the first frame of a connection of its
/// own, and the only one.
///
/// It proves by itself who asks, whoever carries it: the request is signed by the key it is made for, and
/// this message by the key of the certificate that is to be replaced. So a relay can hand it on, and can
/// make nothing of it. What comes of it has the role of the old certificate, whatever the request says.
public struct Renewal: Message, Hashable {
  /// Travels in a frame of this type.
  public static let type = MessageType.renewal
  private static let signatureLimit = 128

  /// The certificate in use, in PEM.
  public var certificate: String
  /// The request for the new one, PKCS#10 in PEM; its key may be new.
  public var request: String
  /// The ECDSA signature of ``digest`` by the key of `certificate`.
  public var signature: [UInt8] = []

  /// A renewal that is still to be signed.
  public init(certificate: String, request: String) {
    (self.certificate, self.request) = (certificate, request)
  }

  /// What is signed: a SHA-256 digest.
  public var digest: [UInt8] {
    var writer = ByteWriter(capacity: 4096)
    writer.append(contentsOf: "tidemark renewal 1\n".utf8)
    writer.text(certificate)
    writer.text(request)
    return Array(SHA256.hash(data: writer.bytes))
  }

  /// Reads the payload.
  public init(from reader: inout ByteReader) throws(ByteReader.ShortInput) {
    certificate = try reader.pem()
    request = try reader.pem()
    let count = Int(try reader.integer(UInt16.self))
    guard count <= Self.signatureLimit else { throw ByteReader.ShortInput() }
    signature = Array(try reader.bytes(count))
  }

  /// Writes the payload.
  public func encode(into writer: inout ByteWriter) {
    writer.text(certificate)
    writer.text(request)
    writer.integer(UInt16(signature.count))
    writer.append(contentsOf: signature)
  }
}

/// The answer to a ``Renewal``; the connection ends behind it. The old certificate stays good until its
/// time is over, so that an answer that gets lost costs nothing.
public struct Renewed: Message, Hashable {
  /// Travels in a frame of this type.
  public static let type = MessageType.renewed

  /// The new certificate, in PEM.
  public var certificate: String

  /// Puts the message together.
  public init(certificate: String) { self.certificate = certificate }

  /// Reads the payload.
  public init(from reader: inout ByteReader) throws(ByteReader.ShortInput) {
    certificate = try reader.pem()
  }

  /// Writes the payload.
  public func encode(into writer: inout ByteWriter) { writer.text(certificate) }
}

/// The asking end of a renewal, without any I/O.
public struct RenewalSession: Sendable {
  private let renewal: Renewal
  private var isOver = false

  /// Starts with a renewal that is signed.
  public init(_ renewal: Renewal) { self.renewal = renewal }

  /// The one frame to send.
  public func start() -> Frame { renewal.frame() }

  /// Takes what came; nil for a sign of life.
  ///
  /// - Throws: a breach of the protocol: the connection is of no use any more.
  public mutating func receive(
    _ frame: Frame
  ) throws(ProtocolError) -> Result<Renewed, Refusal>? {
    guard !isOver else {
      throw ProtocolError(.unexpected, "Something followed the answer to a renewal.")
    }
    switch MessageType(rawValue: frame.type) {
    case .heartbeat: return nil
    case .renewed:
      isOver = true
      return .success(try Renewed(frame))
    case .refusal:
      isOver = true
      return .failure(try Refusal(frame))
    default:
      isOver = true
      throw ProtocolError(
        .unexpected, "The service answered a renewal with a frame of type \(frame.type).")
    }
  }
}

extension ByteReader {
  /// Takes a certificate or request in PEM, of at most 16 KiB.
  fileprivate mutating func pem() throws(ShortInput) -> String {
    let text = try text()
    guard text.utf8.count <= 16384 else { throw ShortInput() }
    return text
  }
}
