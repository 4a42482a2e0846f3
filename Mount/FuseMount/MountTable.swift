internal import CFuse
internal import FileIO
internal import Glibc
internal import Synchronization

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

  /// Whether nobody uses a file system, wherever it is mounted, also in other processes' mount namespaces: many
  /// services have one of their own, with all mounts of the host in it. False if that can't be told; only root is
  /// told. For one thread at a time.
  static func isUnused(_ device: String) -> Bool {
    let own = places(of: device, in: "/proc/self")
    guard !own.isEmpty, own.allSatisfy({ tidemark_is_unused($0) != 0 }) else { return false }
    var seen: Set<String> = [link("/proc/self/ns/mnt")]
    for name in (try? FileSystem.system.list("/proc")) ?? [] where Int32(name) != nil {
      // One that has ended meanwhile has none.
      let namespace = link("/proc/\(name)/ns/mnt")
      guard !namespace.isEmpty, seen.insert(namespace).inserted else { continue }
      let others = places(of: device, in: "/proc/\(name)")
      guard others.isEmpty || areUnused(others, in: "/proc/\(name)/ns/mnt") else { return false }
    }
    return true
  }

  private static func places(of device: String, in process: String) -> [String] {
    entries(of: readAll(process + "/mountinfo")).filter { $0.device == device }.map(\.path)
  }

  /// A thread that has entered another namespace can't come back, so it is one of its own.
  private static func areUnused(_ paths: [String], in namespace: String) -> Bool {
    let answer = Answer()
    NativeThread {
      let isUnused =
        tidemark_enter(namespace) == 0 && paths.allSatisfy { tidemark_is_unused($0) != 0 }
      answer.isUnused.store(isUnused, ordering: .releasing)
    }.join()
    return answer.isUnused.load(ordering: .acquiring)
  }

  private final class Answer: Sendable {
    let isUnused = Atomic(false)
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
