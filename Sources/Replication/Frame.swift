/// What travels on a replication connection: a type, flags and a payload that the layer above knows
/// the meaning of.
///
/// On the wire, integers little-endian: `u32` length of all that follows, `u8` type, `u8` flags, `u16`
/// zero, payload. The length is at least 4 and at most ``largestLength``; anything else, and anything
/// but zero in the reserved field, ends the connection.
public struct Frame: Hashable, Sendable {
  /// What the payload is.
  public var type: UInt8
  /// Bits that belong to the type.
  public var flags: UInt8
  /// What is carried, at most ``largestPayload`` bytes.
  public var payload: [UInt8]

  /// The TCP port that frames go to, unless another is set.
  public static let usualPort = 9443
  /// The largest value of the length field: 4 MiB of records, and room for what goes with them.
  public static let largestLength = (4 << 20) + 64
  /// Bytes of the longest payload.
  public static let largestPayload = largestLength - 4
  /// Bytes before the payload, length field included.
  public static let headerSize = 8

  /// Puts a frame together.
  public init(type: UInt8, flags: UInt8 = 0, payload: [UInt8] = []) {
    (self.type, self.flags, self.payload) = (type, flags, payload)
  }

  /// Bytes of the whole frame on the wire.
  public var encodedSize: Int { Self.headerSize + payload.count }

  /// The bytes before the payload.
  ///
  /// - Throws: `.oversize` if the payload is longer than a frame may carry.
  public func header() throws(FrameError) -> [UInt8] {
    guard payload.count <= Self.largestPayload else {
      throw .oversize(UInt32(clamping: payload.count + 4))
    }
    let length = UInt32(payload.count + 4)
    return (0..<4).map { UInt8(truncatingIfNeeded: length >> ($0 * 8)) } + [type, flags, 0, 0]
  }

  /// The whole frame.
  public func encoded() throws(FrameError) -> [UInt8] { try header() + payload }
}

/// Why bytes are not frames. The connection they came on can't be used any more.
public enum FrameError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The length field says more than a frame may have.
  case oversize(UInt32)
  /// The length field says less than the header has.
  case undersize(UInt32)
  /// The reserved field is not zero.
  case reserved(UInt16)
  /// The bytes end inside a frame, so many before its end.
  case truncated(missing: Int)

  /// Which rule was broken.
  public var description: String {
    switch self {
    case .oversize(let length):
      "a frame of \(length) bytes is announced; the longest has \(Frame.largestLength)"
    case .undersize(let length): "a frame of \(length) bytes is announced; the shortest has 4"
    case .reserved(let value): "a frame's reserved field holds \(value) instead of 0"
    case .truncated(let missing): "the bytes end \(missing) before the end of a frame"
    }
  }
}

/// Puts frames together from bytes that come in pieces of any size.
///
/// A header is judged as soon as it is whole. The decoder holds at most one unfinished frame, and no
/// more memory for it than twice the bytes that have come: what a peer merely announces costs nothing.
public struct FrameDecoder: Sendable {
  private var header: [UInt8] = []
  private var payload: [UInt8] = []
  private var wanted = 0
  private var failure: FrameError?

  /// Starts at the beginning of a frame.
  public init() { header.reserveCapacity(Frame.headerSize) }

  /// Whether the bytes so far end inside a frame.
  public var isInsideFrame: Bool { !header.isEmpty }

  /// Bytes of the unfinished frame that have come.
  public var heldBytes: Int { header.count + payload.count }

  /// Takes the next bytes and gives the frames they complete, in order.
  ///
  /// - Throws: what is wrong with a header; from then on the same at each call.
  public mutating func decode(_ bytes: UnsafeRawBufferPointer) throws(FrameError) -> [Frame] {
    if let failure { throw failure }
    var frames: [Frame] = []
    var place = 0
    while true {
      if header.count < Frame.headerSize {
        let count = min(Frame.headerSize - header.count, bytes.count - place)
        header.append(contentsOf: bytes[place..<place + count])
        place += count
        guard header.count == Frame.headerSize else { return frames }
        do throws(FrameError) { wanted = try Self.payloadSize(header) } catch {
          failure = error
          throw error
        }
      }
      let count = min(wanted - payload.count, bytes.count - place)
      // A frame that is here as a whole takes no more room than it has.
      if payload.isEmpty, count == wanted { payload.reserveCapacity(wanted) }
      payload.append(contentsOf: bytes[place..<place + count])
      place += count
      guard payload.count == wanted else { return frames }
      frames.append(Frame(type: header[4], flags: header[5], payload: payload))
      (header, payload) = ([], [])
      if place == bytes.count { return frames }
    }
  }

  /// Takes the next bytes and gives the frames they complete, in order.
  public mutating func decode(_ bytes: [UInt8]) throws(FrameError) -> [Frame] {
    try bytes.withUnsafeBufferPointer { (buffer) throws(FrameError) in
      try decode(UnsafeRawBufferPointer(buffer))
    }
  }

  /// Throws `.truncated` if the bytes ended inside a frame.
  public func finish() throws(FrameError) {
    if let failure { throw failure }
    guard isInsideFrame else { return }
    let missing =
      header.count < Frame.headerSize ? Frame.headerSize - header.count : wanted - payload.count
    throw .truncated(missing: missing)
  }

  private static func payloadSize(_ header: [UInt8]) throws(FrameError) -> Int {
    let length = (0..<4).reduce(UInt32(0)) { $0 | UInt32(header[$1]) << UInt32($1 * 8) }
    guard length <= Frame.largestLength else { throw .oversize(length) }
    guard length >= 4 else { throw .undersize(length) }
    let reserved = UInt16(header[6]) | UInt16(header[7]) << 8
    guard reserved == 0 else { throw .reserved(reserved) }
    return Int(length) - 4
  }
}
