internal import Bytes
internal import Codecs

/// What a record is.
enum RecordType: UInt8, Sendable {
  /// Pages of one block.
  case data = 1
  /// Whole blocks that became zeros.
  case zero = 2
  /// A recovery point.
  case mark = 3
  /// The end of a group commit.
  case sync = 4
}

/// Which data or zero record its encoder made before this one.
///
/// Every header repeats this, so that a header damaged beyond repair is still known by the next.
struct RecordHint: Hashable, Sendable {
  var sequence: UInt64 = 0
  var disk: UInt32 = 0
  var block: UInt32 = 0
  var count: UInt32 = 0
}

/// The first 128 bytes of a record.
struct RecordHeader: Equatable, Sendable {
  /// "TMRC".
  static let magic: UInt32 = 0x4352_4D54
  /// The flag of the last record of one write.
  static let lastOfWrite: UInt8 = 1

  var type: RecordType
  var flags: UInt8 = RecordHeader.lastOfWrite
  var codec: Codec = .none
  var sequence: SequenceNumber
  var time: Timestamp
  var disk: UInt32 = 0
  var keyID: UInt32 = 0
  var block: UInt64 = 0
  var blockCount: UInt64 = 0
  var dataMask: UInt16 = 0
  var zeroMask: UInt16 = 0
  /// Stored bytes of each cell, checksum included; 0 for a cell that is not there.
  var cellLengths: CellLengths = CellLengths()
  /// Bytes of the whole record, padding included.
  var length: UInt32
  /// For marks and syncs: stored bytes of the payload, checksum included.
  var payloadLength: UInt32 = 0
  var hint = RecordHint()
}

extension RecordHeader {
  /// Writes the header and its checksum.
  func encode(into bytes: UnsafeMutableRawBufferPointer, identity: LogIdentity) {
    func put<T: FixedWidthInteger>(_ value: T, _ offset: Int) {
      bytes.storeBytes(of: value.littleEndian, toByteOffset: offset, as: T.self)
    }
    put(Self.magic, 0)
    bytes[4] = type.rawValue
    bytes[5] = flags
    bytes[6] = codec.rawValue
    bytes[7] = 0
    put(identity.vault.high.bigEndian, 8)
    put(identity.vault.low.bigEndian, 16)
    put(identity.machine.high.bigEndian, 24)
    put(identity.machine.low.bigEndian, 32)
    put(sequence.rawValue, 40)
    put(time.rawValue, 48)
    put(disk, 56)
    put(keyID, 60)
    put(block, 64)
    put(blockCount, 72)
    put(dataMask, 80)
    put(zeroMask, 82)
    for cell in 0..<Layout.cellsPerBlock { put(cellLengths[cell], 84 + cell * 2) }
    put(length, 92)
    put(hint.sequence, 96)
    put(hint.disk, 104)
    put(hint.block, 108)
    put(hint.count, 112)
    put(payloadLength, 116)
    put(UInt32(0), 120)
    put(Self.checksum(UnsafeRawBufferPointer(bytes)), 124)
  }

  private static func checksum(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
    Checksum.of(UnsafeRawBufferPointer(rebasing: bytes[..<124]))
  }

  /// Whether the checksum of 128 bytes fits them.
  static func isIntact(_ bytes: UnsafeRawBufferPointer) -> Bool {
    checksum(bytes) == bytes.loadUnaligned(fromByteOffset: 124, as: UInt32.self)
  }

  /// Reads a header; nil if it is no intact header of this log or says what can't be.
  init?(_ bytes: UnsafeRawBufferPointer, identity: LogIdentity) {
    func get<T: FixedWidthInteger>(_ offset: Int, _: T.Type = T.self) -> T {
      T(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: T.self))
    }
    guard bytes.count >= Format.recordHeaderSize, get(0) == Self.magic, Self.isIntact(bytes),
      let type = RecordType(rawValue: bytes[4]), let codec = Codec(rawValue: bytes[6]),
      get(8, UInt64.self).byteSwapped == identity.vault.high,
      get(16, UInt64.self).byteSwapped == identity.vault.low,
      get(24, UInt64.self).byteSwapped == identity.machine.high,
      get(32, UInt64.self).byteSwapped == identity.machine.low
    else { return nil }
    self.type = type
    flags = bytes[5]
    self.codec = codec
    sequence = SequenceNumber(rawValue: get(40))
    time = Timestamp(rawValue: get(48))
    disk = get(56)
    keyID = get(60)
    block = get(64)
    blockCount = get(72)
    dataMask = get(80)
    zeroMask = get(82)
    for cell in 0..<Layout.cellsPerBlock { cellLengths[cell] = get(84 + cell * 2) }
    length = get(92)
    hint = RecordHint(sequence: get(96), disk: get(104), block: get(108), count: get(112))
    payloadLength = get(116)
    guard isPlausible else { return nil }
  }

  /// Whether the fields agree with each other.
  private var isPlausible: Bool {
    guard length >= Format.recordHeaderSize, length % UInt32(Format.recordAlignment) == 0
    else { return false }
    let body = Int(length) - Format.recordHeaderSize
    switch type {
    case .data: return isPlausibleBlock(body)
    case .zero:
      return body == 0 && blockCount > 0 && disk <= UInt32(UInt16.max)
        && block < 1 << 32 && blockCount <= (1 << 32) - block
    case .mark, .sync:
      return payloadLength >= Format.cellChecksumSize
        && payloadLength <= Format.largestPayload
        && Format.aligned(Format.recordHeaderSize + Int(payloadLength)) == Int(length)
    }
  }

  private func isPlausibleBlock(_ body: Int) -> Bool {
    guard disk <= UInt32(UInt16.max), block < 1 << 32, dataMask & zeroMask == 0,
      dataMask | zeroMask != 0
    else { return false }
    var stored = 0
    for cell in 0..<Layout.cellsPerBlock {
      let pages = (dataMask >> UInt16(cell * Layout.pagesPerCell)) & 0xF
      let length = Int(cellLengths[cell])
      let raw = pages.nonzeroBitCount * Layout.pageSize
      guard (pages == 0) == (length == 0), length <= raw + Format.cellChecksumSize,
        length == 0 || length > Format.cellChecksumSize
      else { return false }
      stored += length
    }
    return Format.aligned(Format.recordHeaderSize + stored)
      == Format.recordHeaderSize + body
  }
}

extension RecordHeader {
  /// Where the cells of a data record end, or the header of a record without any; padding follows.
  var contentEnd: Int {
    guard type == .data else { return Format.recordHeaderSize }
    return (0..<Layout.cellsPerBlock).reduce(Format.recordHeaderSize) {
      $0 + Int(cellLengths[$1])
    }
  }
}

/// The stored lengths of a block's four cells.
struct CellLengths: Equatable, Sendable {
  private var first: UInt16 = 0
  private var second: UInt16 = 0
  private var third: UInt16 = 0
  private var fourth: UInt16 = 0

  subscript(cell: Int) -> UInt16 {
    @inline(__always) get {
      switch cell {
      case 0: first
      case 1: second
      case 2: third
      default: fourth
      }
    }
    @inline(__always) set {
      switch cell {
      case 0: first = newValue
      case 1: second = newValue
      case 2: third = newValue
      default: fourth = newValue
      }
    }
  }
}
