import Codecs
import Support
import Testing

/// Round trips through every codec, and streams that lie.
struct CodecTests {
  static let cellSize = 16384

  func compress(_ input: [UInt8], _ codec: Codec, room: Int, coder: CellCoder) -> [UInt8]? {
    var output = [UInt8](repeating: 0xEE, count: room + 64)
    let length = input.withUnsafeBytes { input in
      output.withUnsafeMutableBytes {
        coder.compress(
          input, with: codec, into: UnsafeMutableRawBufferPointer(rebasing: $0[..<room]))
      }
    }
    #expect(output[room...].allSatisfy { $0 == 0xEE }, "nothing is written past the room given")
    return length.map { Array(output[..<$0]) }
  }

  func decompress(_ input: [UInt8], _ codec: Codec, size: Int, coder: CellCoder) -> [UInt8]? {
    var output = [UInt8](repeating: 0xEE, count: size + 64)
    let isValid = input.withUnsafeBytes { input in
      output.withUnsafeMutableBytes {
        coder.decompress(
          input, with: codec, into: UnsafeMutableRawBufferPointer(rebasing: $0[..<size]))
      }
    }
    #expect(output[size...].allSatisfy { $0 == 0xEE }, "nothing is written past the size given")
    return isValid ? Array(output[..<size]) : nil
  }

  /// Cells of several kinds: empty ones, texts, noise, and mixtures.
  func cells(_ random: inout SeededGenerator) -> [[UInt8]] {
    let words = (0..<50).map { _ in random.bytes(random.number(1..<9)) }
    var text: [UInt8] = []
    while text.count < Self.cellSize { text += words[random.number(0..<words.count)] }
    let half = Self.cellSize / 2
    return [
      [UInt8](repeating: 0, count: Self.cellSize), Array(text.prefix(Self.cellSize)),
      random.bytes(Self.cellSize), random.bytes(half) + [UInt8](repeating: 9, count: half),
      random.bytes(1), Array(text.prefix(4096)),
    ]
  }

  @Test("what is compressed comes back byte for byte", arguments: [Codec.zlib, .zstd])
  func roundTrip(codec: Codec) throws {
    var random = SeededGenerator(for: "cells for \(codec)")
    let coder = CellCoder()
    for _ in 0..<20 {
      for cell in cells(&random) {
        let room = cell.count + 1024
        let stream = try #require(compress(cell, codec, room: room, coder: coder))
        #expect(decompress(stream, codec, size: cell.count, coder: coder) == cell)
      }
    }
  }

  @Test("a result that would not fit is no result", arguments: [Codec.zlib, .zstd])
  func noRoom(codec: Codec) throws {
    var random = SeededGenerator(for: "noise for \(codec)")
    let coder = CellCoder()
    #expect(
      compress(random.bytes(Self.cellSize), codec, room: Self.cellSize - 1, coder: coder) == nil)
    let zeros = [UInt8](repeating: 0, count: Self.cellSize)
    let stream = try #require(compress(zeros, codec, room: 1024, coder: coder))
    for room in 0..<stream.count {
      #expect(compress(zeros, codec, room: room, coder: coder) == nil)
    }
    #expect(compress(zeros, codec, room: 1024, coder: coder) == stream, "a failure leaves no trace")
  }

  @Test("codec none stores as is: it never compresses, and takes back only its exact length")
  func none() {
    let coder = CellCoder()
    #expect(compress([1, 2, 3], .none, room: 100, coder: coder) == nil)
    #expect(decompress([1, 2, 3], .none, size: 3, coder: coder) == [1, 2, 3])
    #expect(decompress([1, 2, 3], .none, size: 2, coder: coder) == nil)
    #expect(decompress([1, 2, 3], .none, size: 4, coder: coder) == nil)
    #expect(decompress([], .none, size: 0, coder: coder) == [])
  }

  @Test(
    "a stream that is cut, lengthened or of another length is refused",
    arguments: [Codec.zlib, .zstd])
  func wrongLengths(codec: Codec) throws {
    var random = SeededGenerator(for: "lengths for \(codec)")
    let coder = CellCoder()
    for cell in cells(&random) where cell.count > 1 {
      let stream = try #require(compress(cell, codec, room: cell.count + 1024, coder: coder))
      for cut in [0, 1, stream.count / 2, stream.count - 1] {
        #expect(decompress(Array(stream[..<cut]), codec, size: cell.count, coder: coder) == nil)
      }
      #expect(decompress(stream + [0], codec, size: cell.count, coder: coder) == nil)
      #expect(decompress(stream, codec, size: cell.count - 1, coder: coder) == nil)
      #expect(decompress(stream, codec, size: cell.count + 1, coder: coder) == nil)
      #expect(decompress(stream, codec, size: cell.count, coder: coder) == cell)
    }
  }

  @Test(
    "damaged and invented streams give a failure or some bytes, never a trap",
    arguments: Codec.allCases)
  func hostileStreams(codec: Codec) throws {
    var random = SeededGenerator(for: "hostile streams for \(codec)")
    let coder = CellCoder()
    let cells = cells(&random)
    let streams = cells.map {
      compress($0, codec, room: $0.count + 1024, coder: coder) ?? $0
    }
    for round in 0..<Count.of("TIDEMARK_FUZZ", normally: 5_000) {
      var stream = streams[round % streams.count]
      if random.once(in: 4) { stream = random.bytes(random.number(0..<200)) }
      for _ in 0..<random.number(1..<4) where !stream.isEmpty {
        stream[random.number(0..<stream.count)] = UInt8.random(in: 0...255, using: &random)
      }
      _ = decompress(stream, codec, size: Self.cellSize, coder: coder)
    }
    let stream = streams[1]
    #expect(
      decompress(stream, codec, size: Self.cellSize, coder: coder) == cells[1],
      "state is kept clean")
  }

  @Test("codecs have the names a person writes, and the numbers the format says")
  func names() {
    #expect(Codec.allCases.map(\.name) == ["none", "zlib", "zstd"])
    #expect(Codec.allCases.map(\.rawValue) == [0, 1, 2])
    for codec in Codec.allCases { #expect(Codec(name: codec.name) == codec) }
    for name in ["", "ZSTD", "lz4", "none "] { #expect(Codec(name: name) == nil) }
  }
}
