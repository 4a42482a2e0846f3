internal import FileIO
internal import Glibc

/// One line of /proc/self/mountinfo (proc(5)).
struct MountEntry: Hashable {
  /// `major:minor` of the file system.
  let device: String
  let path: String
  let type: String

  /// The type every mount of a vault has.
  static let type = "fuse.tidemark"

  /// Reads a line: id, parent, device, root, path, options, optional fields, `-`, type, source, …
  init?(_ line: Substring) {
    let fields = line.split(separator: " ")
    guard fields.count > 6, let dash = fields.dropFirst(6).firstIndex(of: "-"),
      dash + 1 < fields.count
    else { return nil }
    device = String(fields[2])
    path = Self.unescaped(fields[4])
    type = String(fields[dash + 1])
  }

  /// Space, tab, newline and backslash are written as three octal digits after a backslash.
  private static func unescaped(_ field: Substring) -> String {
    var bytes: [UInt8] = []
    var rest = Substring(field).utf8
    while let byte = rest.popFirst() {
      let digits = rest.prefix(3)
      if byte == UInt8(ascii: "\\"), digits.count == 3,
        let code = UInt8(String(decoding: digits, as: UTF8.self), radix: 8)
      {
        bytes.append(code)
        rest = rest.dropFirst(3)
      } else {
        bytes.append(byte)
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}

/// The mounts this process sees.
enum MountTable {
  /// The mount on top at exactly this path; nil if it is no mount point.
  ///
  /// The mounted file system itself is not asked, so this also works if nobody serves it.
  static func top(at path: String) -> MountEntry? {
    entries(of: readAll("/proc/self/mountinfo")).last { $0.path == path }
  }

  /// Whether a file system is mounted in another process's mount namespace, or more than once in this one.
  static func isElsewhere(_ device: String) -> Bool {
    let own = link("/proc/self/ns/mnt")
    if entries(of: readAll("/proc/self/mountinfo")).count(where: { $0.device == device }) != 1 {
      return true
    }
    var seen: Set<String> = [own]
    for name in (try? FileSystem.system.list("/proc")) ?? [] where Int32(name) != nil {
      // One that has ended meanwhile has none.
      let namespace = link("/proc/\(name)/ns/mnt")
      guard !namespace.isEmpty, seen.insert(namespace).inserted else { continue }
      let text = readAll("/proc/\(name)/mountinfo")
      if entries(of: text).contains(where: { $0.device == device }) { return true }
    }
    return false
  }

  private static func link(_ path: String) -> String {
    var bytes = [CChar](repeating: 0, count: 256)
    let count = readlink(path, &bytes, bytes.count)
    return String(decoding: bytes[..<max(0, count)].map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  static func entries(of text: String) -> [MountEntry] {
    text.split(separator: "\n").compactMap(MountEntry.init)
  }

  /// The content of a file of procfs, which has no size to go by; empty if it can't be read.
  private static func readAll(_ path: String) -> String {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return "" }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = read(descriptor, &chunk, chunk.count)
      guard count > 0 else { break }
      bytes += chunk[..<count]
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
