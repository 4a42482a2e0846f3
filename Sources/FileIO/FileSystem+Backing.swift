internal import Glibc

extension FileSystem {
  /// The files that loop devices beneath a path's file system are backed by, through partitions and device
  /// mappings; empty where there are none.
  ///
  /// The device is the one that the mount names, for the files of some file systems, such as btrfs, are of no
  /// device; of several that such a file system has, only that one is looked at.
  ///
  /// Source: sysfs (Documentation/ABI/stable/sysfs-block: `slaves`, `loop/backing_file`).
  public static func backingFiles(of path: String) throws(IOError) -> [String] {
    if let place = deviceOfMount(path) { return files(beneath: place, depth: 0) }
    let device = try system.status(path).device
    let (major, minor) = (
      (device >> 8 & 0xFFF) | (device >> 32 & ~0xFFF), (device & 0xFF) | (device >> 12 & ~0xFF)
    )
    guard let place = try? resolved("/sys/dev/block/\(major):\(minor)") else { return [] }
    return files(beneath: place, depth: 0)
  }

  /// The directory in sysfs of the device that a path's mount names; nil if it names none.
  private static func deviceOfMount(_ path: String) -> String? {
    let full = (try? resolved(path)) ?? path
    let holding = ((try? mounts()) ?? []).filter { mount in
      mount.point == "/" || full == mount.point || full.hasPrefix(mount.point + "/")
    }
    // Of those at one point the last one is seen.
    let longest = holding.map(\.point.utf8.count).max()
    guard let source = holding.last(where: { $0.point.utf8.count == longest })?.source,
      source.hasPrefix("/dev/"), let device = try? resolved(source)
    else { return nil }
    return try? resolved("/sys/class/block/" + device.dropFirst("/dev/".count))
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
