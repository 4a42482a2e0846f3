internal import Glibc

extension FileSystem {
  /// The files that loop devices beneath a path's file system are backed by, through partitions and device
  /// mappings; empty where there are none.
  ///
  /// Source: sysfs (Documentation/ABI/stable/sysfs-block: `slaves`, `loop/backing_file`).
  public static func backingFiles(of path: String) throws(IOError) -> [String] {
    let device = try system.status(path).device
    let (major, minor) = (
      (device >> 8 & 0xFFF) | (device >> 32 & ~0xFFF), (device & 0xFF) | (device >> 12 & ~0xFF)
    )
    guard let place = try? resolved("/sys/dev/block/\(major):\(minor)") else { return [] }
    return files(beneath: place, depth: 0)
  }

  /// Devices lie on devices some levels deep, at the most.
  private static func files(beneath device: String, depth: Int) -> [String] {
    guard depth < 16 else { return [] }
    if let text = text(device + "/loop/backing_file") { return [text] }
    if system.exists(device + "/partition") {
      return files(beneath: parent(of: device), depth: depth + 1)
    }
    let lower = (try? system.list(device + "/slaves")) ?? []
    return lower.flatMap { name in
      (try? resolved("\(device)/slaves/\(name)")).map { files(beneath: $0, depth: depth + 1) }
        ?? []
    }
  }

  /// Files of sysfs have no size to go by.
  private static func text(_ path: String) -> String? {
    guard let file = try? File(path, .reading), let bytes = try? file.read(at: 0, count: 4096)
    else { return nil }
    return String(decoding: bytes.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
  }
}
