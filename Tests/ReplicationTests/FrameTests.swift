import Support
import Testing

@testable import Replication

/// Goal: frames come out as they went in, however the bytes are cut up, and what is no frame is named
/// and costs no memory. Method: drip-feed, random splits, and random bytes against a plain reading.
struct FrameTests {
  private func frames(_ count: Int, _ random: inout SeededGenerator) -> [Frame] {
    (0..<count).map { _ in
      let size = random.once(in: 3) ? 0 : random.number(0..<(random.once(in: 8) ? 70000 : 300))
      return Frame(
        type: UInt8(random.number(0..<256)), flags: UInt8(random.number(0..<256)),
        payload: random.bytes(size))
    }
  }

  @Test("a frame's bytes are what the description says")
  func layout() throws {
    let frame = Frame(type: 7, flags: 0x81, payload: [1, 2, 3])
    #expect(try frame.encoded() == [7, 0, 0, 0, 7, 0x81, 0, 0, 1, 2, 3])
    #expect(try frame.encoded().count == frame.encodedSize)
    #expect(try Frame(type: 0).encoded() == [4, 0, 0, 0, 0, 0, 0, 0])
  }

  @Test("frames fed byte by byte, at once, and in random pieces come out the same")
  func splits() throws {
    var random = SeededGenerator(for: "splits")
    for round in 0..<60 {
      let sent = frames(random.number(1..<12), &random)
      let bytes = try sent.flatMap { try $0.encoded() }
      var decoder = FrameDecoder()
      var got: [Frame] = []
      var place = 0
      while place < bytes.count {
        let size = round == 0 ? 1 : round == 1 ? bytes.count : random.number(1..<5000)
        let end = min(bytes.count, place + size)
        got += try decoder.decode(Array(bytes[place..<end]))
        #expect(decoder.heldBytes <= end)
        place = end
      }
      #expect(got == sent)
      #expect(!decoder.isInsideFrame && decoder.heldBytes == 0)
      try decoder.finish()
    }
  }

  @Test("the longest frame passes, one byte more does not, at either end")
  func limits() throws {
    let longest = Frame(type: 1, payload: [UInt8](repeating: 9, count: Frame.largestPayload))
    var decoder = FrameDecoder()
    #expect(try decoder.decode(try longest.encoded()) == [longest])
    var longer = longest
    longer.payload.append(9)
    let length = UInt32(Frame.largestLength + 1)
    #expect(throws: FrameError.oversize(length)) { try longer.encoded() }
    #expect(Frame.largestLength == 4_194_368)
    let header: [UInt8] = (0..<4).map { UInt8(truncatingIfNeeded: length >> ($0 * 8)) }
    #expect(throws: FrameError.oversize(length)) {
      try decoder.decode(header + [0, 0, 0, 0])
    }
  }

  @Test("a bad header is named when its last byte comes, and again ever after")
  func faults() throws {
    let cases: [([UInt8], FrameError)] = [
      ([0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0], .oversize(.max)),
      ([3, 0, 0, 0, 0, 0, 0, 0], .undersize(3)), ([0, 0, 0, 0, 0, 0, 0, 0], .undersize(0)),
      ([4, 0, 0, 0, 0, 0, 1, 0], .reserved(1)), ([4, 0, 0, 0, 0, 0, 0, 2], .reserved(512)),
      (Array("GET / HT".utf8), .oversize(0x2054_4547)),
    ]
    for (bytes, fault) in cases {
      var decoder = FrameDecoder()
      #expect(try decoder.decode(Array(bytes.dropLast())).isEmpty)
      #expect(throws: fault) { try decoder.decode(Array(bytes.suffix(1))) }
      #expect(throws: fault) { try decoder.decode([4, 0, 0, 0, 0, 0, 0, 0]) }
      #expect(throws: fault) { try decoder.finish() }
      #expect(!fault.description.isEmpty)
    }
  }

  @Test("bytes that end inside a frame are told from bytes that end between two")
  func truncation() throws {
    let bytes = try Frame(type: 1, payload: [1, 2, 3, 4]).encoded()
    for count in 1..<bytes.count {
      var decoder = FrameDecoder()
      _ = try decoder.decode(Array(bytes.prefix(count)))
      let missing = count < 8 ? 8 - count : bytes.count - count
      #expect(throws: FrameError.truncated(missing: missing)) { try decoder.finish() }
    }
    try FrameDecoder().finish()
  }

  @Test("a length that is only announced takes no memory")
  func announced() throws {
    var decoder = FrameDecoder()
    let header = try Frame(type: 1, payload: [UInt8](repeating: 0, count: 4 << 20)).header()
    _ = try decoder.decode(header)
    #expect(decoder.heldBytes == 8)
  }

  @Test("random bytes give what a plain reading of them gives, and nothing traps")
  func fuzz() throws {
    var random = SeededGenerator(for: "frames")
    for _ in 0..<Count.of("TIDEMARK_FUZZ", normally: 4000) {
      var bytes: [UInt8] = []
      for _ in 0..<random.number(1..<5) {
        var part = try Frame(
          type: UInt8(random.number(0..<9)), payload: random.bytes(random.number(0..<40))
        ).encoded()
        if random.once(in: 3) { part[random.number(0..<8)] = UInt8(random.number(0..<256)) }
        bytes += random.once(in: 9) ? random.bytes(random.number(0..<30)) : part
      }
      let expected = Self.plainly(bytes)
      var decoder = FrameDecoder()
      var got: [Frame] = []
      var failure: FrameError?
      var place = 0
      while place < bytes.count, failure == nil {
        let end = min(bytes.count, place + random.number(1..<20))
        do throws(FrameError) { got += try decoder.decode(Array(bytes[place..<end])) } catch {
          failure = error
        }
        place = end
      }
      // Frames before a fault in the same piece are not handed out: the connection ends anyway.
      #expect(failure == expected.fault)
      #expect(failure == nil ? got == expected.frames : expected.frames.starts(with: got))
    }
  }

  /// Reads frames the obvious way from bytes that are all there.
  private static func plainly(_ bytes: [UInt8]) -> (frames: [Frame], fault: FrameError?) {
    var frames: [Frame] = []
    var rest = bytes[...]
    while rest.count >= 8 {
      let head = Array(rest.prefix(8))
      let length = head[0..<4].reversed().reduce(0) { $0 << 8 | Int($1) }
      if length > Frame.largestLength { return (frames, .oversize(UInt32(length))) }
      if length < 4 { return (frames, .undersize(UInt32(length))) }
      let reserved = Int(head[6]) + Int(head[7]) * 256
      if reserved != 0 { return (frames, .reserved(UInt16(reserved))) }
      guard rest.count >= 4 + length else { break }
      let payload = Array(rest.dropFirst(8).prefix(length - 4))
      frames.append(Frame(type: head[4], flags: head[5], payload: payload))
      rest = rest.dropFirst(4 + length)
    }
    return (frames, nil)
  }
}
