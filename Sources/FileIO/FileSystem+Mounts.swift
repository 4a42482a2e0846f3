/// A mounted file system.
public struct Mount: Hashable, Sendable {
  /// Where it is mounted.
  public let point: String
  /// Its type, such as `ext4`.
  public let type: String
  /// What it says it is of, such as a device's path.
  public let source: String
}

extension FileSystem {
  /// The file systems that this process sees, the last mounted last (proc_pid_mountinfo(5)).
  public static func mounts() throws(IOError) -> [Mount] {
    let file = try File("/proc/self/mountinfo", .reading)
    let bytes = try file.read(at: 0, count: 4 << 20)
    return String(decoding: bytes, as: UTF8.self).split(separator: "\n").compactMap { line in
      let fields = line.split(separator: " ")
      guard fields.count > 6, let mark = fields[6...].firstIndex(of: "-"), mark + 2 < fields.count
      else { return nil }
      return Mount(
        point: unescaped(fields[4]), type: String(fields[mark + 1]),
        source: unescaped(fields[mark + 2]))
    }
  }

  /// Spaces and the like are written as three octal digits after a backslash.
  private static func unescaped(_ text: Substring) -> String {
    var bytes: [UInt8] = []
    var rest = Array(text.utf8)[...]
    while let first = rest.popFirst() {
      let digits = rest.prefix(3)
      if first == UInt8(ascii: "\\"), digits.count == 3,
        let code = UInt8(String(decoding: digits, as: UTF8.self), radix: 8)
      {
        bytes.append(code)
        rest.removeFirst(3)
      } else {
        bytes.append(first)
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
