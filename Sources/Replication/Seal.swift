internal import Bytes
internal import Crypto

/// Tells whether a signature of a digest is that of one certificate's holder.
public typealias SignatureCheck = @Sendable (_ digest: [UInt8], _ signature: [UInt8]) -> Bool
/// Signs a digest with the key of a certificate.
public typealias Signing = @Sendable (_ digest: [UInt8]) throws(ProtocolError) -> [UInt8]

/// What makes a relay a mere carrier: one direction of a session that goes through one, as a sequence of
/// signed frames. <doc:Protocol> tells the whole of it.
///
/// A sealed frame has ``flag`` set, and its payload is a `u16` length, an ECDSA signature and what the
/// frame would carry without. What is signed is the SHA-256 of "tidemark seal 1\n", the direction (`u8`),
/// the session's nonce behind its `u8` length, the number of sealed frames before this one (`u64`), the
/// frame's type, the SHA-256 of the query that it answers (zeros if it answers none), and the payload. So a
/// frame that is changed, left out, repeated, moved, or taken from another session is noticed.
public struct Seal: Sendable {
  /// Which way the frames go.
  public enum Direction: UInt8, Sendable {
    /// From the agent.
    case toService = 1
    /// From the service.
    case toAgent = 2
  }

  /// The bit of a frame's flags that says that it is sealed.
  public static let flag: UInt8 = 1
  /// Bytes of a session's nonce.
  public static let nonceSize = 16
  /// A P-256 signature in DER form has at most 72 bytes.
  private static let signatureLimit = 128

  private let direction: Direction
  private let nonce: [UInt8]
  private var count: UInt64 = 0

  /// Begins a direction of the session with this nonce, the agent's own, behind which the service's name of
  /// the session follows where it is known: in what the agent says after the welcome.
  init(_ direction: Direction, nonce: [UInt8], session: Identifier? = nil) {
    var writer = ByteWriter(capacity: 32)
    writer.append(contentsOf: nonce)
    if let session { writer.identifier(session) }
    (self.direction, self.nonce) = (direction, writer.bytes)
  }

  /// The digest of a query that an answer's seal names.
  static func digest(of query: Frame) -> [UInt8] {
    var hash = SHA256()
    hash.update(data: [query.type])
    hash.update(data: query.payload)
    return Array(hash.finalize())
  }

  /// Seals the next frame.
  mutating func close<Failure: Error>(
    _ frame: Frame, answering query: [UInt8]? = nil,
    sign: ([UInt8]) throws(Failure) -> [UInt8]
  ) throws(Failure) -> Frame {
    let signature = try sign(digest(of: frame, answering: query))
    count += 1
    var writer = ByteWriter(capacity: frame.payload.count + signature.count + 2)
    writer.integer(UInt16(signature.count))
    writer.append(contentsOf: signature)
    writer.append(contentsOf: frame.payload)
    return Frame(type: frame.type, flags: frame.flags | Self.flag, payload: writer.bytes)
  }

  /// Opens the next frame.
  ///
  /// - Throws: `.forged` if it is not what the other end sent next.
  mutating func open(
    _ frame: Frame, answering query: [UInt8]? = nil, isSigned: SignatureCheck
  ) throws(ProtocolError) -> Frame {
    guard let (signature, opened) = Self.parts(of: frame),
      isSigned(digest(of: opened, answering: query), signature)
    else {
      throw ProtocolError(
        .forged,
        "A frame of type \(frame.type) that came through a relay is not what the other end sent next. "
          + "The relay is broken, or lies.")
    }
    count += 1
    return opened
  }

  /// What a sealed frame carries, without a look at its signature: for relays, which only watch.
  public static func content(of frame: Frame) -> Frame? {
    frame.flags & flag == 0 ? frame : parts(of: frame)?.frame
  }

  private static func parts(of frame: Frame) -> (signature: [UInt8], frame: Frame)? {
    guard frame.flags & flag != 0, frame.payload.count >= 2 else { return nil }
    let length = Int(frame.payload[0]) | Int(frame.payload[1]) << 8
    guard length <= signatureLimit, frame.payload.count >= 2 + length else { return nil }
    return (
      Array(frame.payload[2..<2 + length]),
      Frame(
        type: frame.type, flags: frame.flags & ~flag, payload: Array(frame.payload[(2 + length)...])
      )
    )
  }

  private func digest(of frame: Frame, answering query: [UInt8]?) -> [UInt8] {
    var writer = ByteWriter(capacity: 128)
    writer.append(contentsOf: "tidemark seal 1\n".utf8)
    writer.integer(direction.rawValue)
    writer.integer(UInt8(truncatingIfNeeded: nonce.count))
    writer.append(contentsOf: nonce)
    writer.integer(count)
    writer.integer(frame.type)
    writer.append(contentsOf: query ?? [UInt8](repeating: 0, count: SHA256.byteCount))
    var hash = SHA256()
    hash.update(data: writer.bytes)
    hash.update(data: frame.payload)
    return Array(hash.finalize())
  }
}

/// What the service seals with: its certificate, which agents judge, and its key.
public struct ServiceSeal: Sendable {
  /// The service's certificate in DER.
  public let certificate: [UInt8]
  let sign: @Sendable (_ digest: [UInt8]) -> [UInt8]

  /// Seals with the key of a certificate; `sign` gives nothing if it can't, which agents refuse.
  public init(
    certificate: [UInt8], sign: @escaping @Sendable (_ digest: [UInt8]) -> [UInt8]
  ) {
    (self.certificate, self.sign) = (certificate, sign)
  }
}
