import FileIO

/// The golden files: headers that other programs wrote, as hexadecimal digits.
///
/// `fixed-` and `dynamic-` are of `qemu-img create -f vpc` (7.2), with `force_size` on or off;
/// `handmade-` are a dynamic VHD with a partial sector bitmap and a differencing child of it.
/// `mbr-logical` is of sfdisk 2.38, `gpt-4096` of sgdisk 1.0.9 on a device of 4 KiB sectors.
enum Vectors {
  private static let directory = FileSystem.parent(of: #filePath) + "/Vectors/"

  /// The names of all golden files that end so, without that ending.
  static func names(endingIn ending: String) throws -> [String] {
    try FileSystem.system.list(directory).filter { $0.hasSuffix(ending) }
      .map { String($0.dropLast(ending.count)) }.sorted()
  }

  /// The bytes of a golden file.
  static func bytes(_ name: String) throws -> [UInt8] {
    let text = try FileSystem.system.readFile(directory + name + ".hex", limit: 1 << 20)
    return bytes(ofDigits: text)
  }

  /// What the file names say: subformat, size, and whether the exact size was forced.
  struct Facts {
    let isDynamic: Bool
    let size: UInt64
    let isExact: Bool

    init?(_ name: String) {
      let sizes: [String: (exact: UInt64, rounded: UInt64)] = [
        "1MiB": (1_048_576, 1_079_296), "3MiB512": (3_146_240, 3_168_256),
        "127GiB": (136_365_211_648, 136_365_219_840),
        "2040GiB": (2_190_433_320_960, 2_190_433_320_960),
      ]
      let parts = name.split(separator: "-")
      guard parts.count == 3, let size = sizes[String(parts[1])] else { return nil }
      isDynamic = parts[0] == "dynamic"
      isExact = parts[2].hasSuffix("on")
      self.size = isExact ? size.exact : size.rounded
    }
  }
}

extension Vectors {
  /// The disk of a golden file that lists the sectors that are not zero.
  static func disk(_ name: String) throws -> MemoryDisk {
    let text = try FileSystem.system.readFile(directory + name + ".sectors", limit: 1 << 20)
    let lines = text.split(separator: UInt8(ascii: "\n")).map {
      String(decoding: $0, as: UTF8.self).split(separator: " ")
    }
    let disk = MemoryDisk(size: UInt64(lines[0][1]) ?? 0)
    for line in lines.dropFirst() {
      disk.write(bytes(ofDigits: Array(line[1].utf8)), at: (UInt64(line[0]) ?? 0) * 512)
    }
    return disk
  }

  private static func bytes(ofDigits text: [UInt8]) -> [UInt8] {
    let digits = text.filter { $0 > 32 }.map { $0 > 57 ? $0 - 87 : $0 - 48 }
    return stride(from: 0, to: digits.count - 1, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
  }
}
