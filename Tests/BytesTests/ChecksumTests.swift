import Bytes
import Support
import Testing

/// CRC32C against published vectors, and the two ways of computing it against each other.
struct ChecksumTests {
  func checksum(_ bytes: some Collection<UInt8>, seed: UInt32 = 0) -> UInt32 {
    Array(bytes).withUnsafeBytes { Checksum.of($0, seed: seed) }
  }

  @Test("the vectors of RFC 3720 B.4 and the check value of the CRC catalogue come out")
  func knownVectors() {
    #expect(checksum([]) == 0)
    #expect(checksum("123456789".utf8) == 0xE306_9283)
    #expect(checksum([UInt8](repeating: 0, count: 32)) == 0x8A91_36AA)
    #expect(checksum([UInt8](repeating: 0xFF, count: 32)) == 0x62A8_AB43)
    #expect(checksum(0..<32) == 0x46DD_794E)
    #expect(checksum((0..<32).reversed()) == 0x113F_DB5C)
    let readCommand: [UInt8] =
      [0x01, 0xC0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x14, 0, 0, 0, 0, 0, 0x04, 0]
      + [0, 0, 0, 0x14, 0, 0, 0, 0x18, 0x28, 0, 0, 0, 0, 0, 0, 0, 0x02, 0, 0, 0, 0, 0, 0, 0]
    #expect(checksum(readCommand) == 0xD996_3A56)
  }

  @Test("the processor's instruction and the table agree on every length and alignment")
  func hardwareEqualsPortable() {
    var random = SeededGenerator(for: "checksums")
    let bytes = random.bytes(4096 + 16)
    bytes.withUnsafeBytes { all in
      for length in Array(0..<80) + [511, 512, 513, 4095, 4096] {
        let start = random.number(0..<16)
        let part = UnsafeRawBufferPointer(rebasing: all[start..<start + length])
        let seed = UInt32.random(in: 0...(.max), using: &random)
        #expect(Checksum.of(part, seed: seed) == Checksum.portable(part, seed: seed))
      }
    }
  }

  @Test("a checksum of parts is the checksum of the whole, however it is cut")
  func parts() {
    var random = SeededGenerator(for: "checksums of parts")
    let bytes = random.bytes(1000)
    for _ in 0..<100 {
      let cut = random.number(0..<bytes.count + 1)
      var running = Checksum(seed: 7)
      bytes[..<cut].withUnsafeBytes { running.add($0) }
      bytes[cut...].withUnsafeBytes { running.add($0) }
      #expect(running.value == checksum(bytes, seed: 7))
    }
  }

  @Test("an integer counts as its little-endian bytes, and seeds tell places apart")
  func integersAndSeeds() {
    var running = Checksum()
    running.add(UInt32(0x0403_0201))
    #expect(running.value == checksum([1, 2, 3, 4]))
    #expect(checksum([1, 2, 3], seed: 1) != checksum([1, 2, 3], seed: 2))
  }

  @Test("any flipped bit of a cell changes its checksum")
  func flippedBits() {
    var random = SeededGenerator(for: "flipped bits")
    var bytes = random.bytes(Layout.cellSize)
    let sound = checksum(bytes)
    for _ in 0..<500 {
      let (place, bit) = (random.number(0..<bytes.count), UInt8(1 << random.number(0..<8)))
      bytes[place] ^= bit
      #expect(checksum(bytes) != sound)
      bytes[place] ^= bit
    }
  }

  @Test("zeros are seen as zeros, and one set bit anywhere is seen")
  func zeros() {
    for count in [0, 1, 63, 64, 65, 127, 4096] {
      var bytes = [UInt8](repeating: 0, count: count)
      #expect(bytes.withUnsafeBytes { $0.isZero })
      for place in Set([0, count / 2, count - 1]) where place >= 0 && place < count {
        bytes[place] = 0x80
        #expect(bytes.withUnsafeBytes { !$0.isZero })
        bytes[place] = 0
      }
    }
  }
}
