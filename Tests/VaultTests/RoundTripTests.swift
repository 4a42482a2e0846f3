import Bytes
import Codecs
import FileIO
import Foundation
import Support
import Testing

@testable import Vault

/// Goal: what is written is read back at every point. Method: a real vault in a temporary directory.
@Suite struct RoundTripTests {
  func makeVault() throws -> (Vault, String) {
    let path = NSTemporaryDirectory() + "tidemark-\(UUID().uuidString)"
    return (try Vault.create(at: path, name: "test", codec: .zstd), path)
  }

  func block(_ byte: UInt8) -> [UInt8] {
    var bytes = [UInt8](repeating: byte, count: Layout.blockSize)
    for index in stride(from: 0, to: bytes.count, by: 7) { bytes[index] = UInt8(index & 0xFF) | 1 }
    return bytes
  }

  @Test("a disk reads as it was at each of its points")
  func readsEveryPoint() throws {
    let (vault, path) = try makeVault()
    defer { try? FileManager.default.removeItem(atPath: path) }
    let lock = try vault.lock()
    let machine = try vault.addMachine(
      MachineConfiguration(
        name: "web01", operatingSystem: .linux,
        disks: [DiskConfiguration(number: 0, path: "/x", capture: .scan, format: .raw)]),
      lock: lock)
    let size: UInt64 = 10 << 20
    var model = [UInt8](repeating: 0, count: Int(size))
    var points: [(RecoveryPoint, [UInt8])] = []
    for round in 0..<20 {
      let writer = try MachineWriter(machine: machine, in: vault, lock: lock)
      for index in 0..<30 {
        let number = UInt64((round * 7 + index * 3) % 160)
        let content = block(UInt8(truncatingIfNeeded: round &* 31 &+ index) | 1)
        let pages = UInt16(truncatingIfNeeded: 0x9E37 &* (round * 30 + index + 1)) | 1
        try content.withUnsafeBytes {
          try writer.write(disk: 0, block: number, bytes: $0, pages: pages)
        }
        for page in 0..<16 where pages & (1 << UInt16(page)) != 0 {
          let start = Int(number) * Layout.blockSize + page * 4096
          model.replaceSubrange(
            start..<start + 4096, with: content[page * 4096..<(page + 1) * 4096])
        }
      }
      if round % 3 == 1 {
        try writer.zero(disk: 0, firstBlock: UInt64(round), count: 37)
        let start = round * Layout.blockSize
        model.replaceSubrange(
          start..<start + 37 * Layout.blockSize,
          with: repeatElement(0, count: 37 * Layout.blockSize))
      }
      let point = try writer.mark(
        NewPoint(disks: [PointDisk(number: 0, size: size)], time: .now()))
      try writer.close()
      points.append((point, model))
      let snapshot = try machine.snapshot()
      #expect(snapshot.points.count == round + 1)
      for (point, model) in points {
        let reader = try snapshot.disk(0, at: point)
        var bytes = [UInt8](repeating: 0xAA, count: Int(size))
        try bytes.withUnsafeMutableBytes { try reader.read(into: $0, at: 0) }
        #expect(bytes == model)
      }
    }
  }
}
