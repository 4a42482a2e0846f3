internal import Glibc

extension RunningProcess {
  /// Bytes of what the kernel tells of one open file that are looked at.
  private static let factsLimit = 1 << 16

  /// The processes that hold a lock on a byte before `end` of a file whose path ends so, as far as this user may
  /// see (proc_pid_fdinfo(5)).
  public static func holders(ofFileAt suffix: String, before end: UInt64) -> [Int32] {
    processes.filter { process in
      openFiles(of: process).contains { descriptor, path in
        path.hasSuffix(suffix) && locks(process, descriptor).contains { $0 < end }
      }
    }
  }

  /// The processes that have a file open below a directory, each with one such file, as far as this user may
  /// see; loop devices are none.
  public static func users(of directory: String) -> [(process: Int32, path: String)] {
    processes.compactMap { process in
      openFiles(of: process).first { $0.path.hasPrefix(directory + "/") }.map { (process, $0.path) }
    }
  }

  /// The loop devices whose bytes are those of a file below a directory, each with that file.
  public static func loopDevices(on directory: String) -> [(device: String, path: String)] {
    ((try? FileSystem.system.list("/sys/block")) ?? []).filter { $0.hasPrefix("loop") }
      .compactMap { name in
        let file = "/sys/block/\(name)/loop/backing_file"
        guard let bytes = try? File(file, .reading).read(at: 0, count: factsLimit) else {
          return nil
        }
        let path = String(decoding: bytes.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
        return path.hasPrefix(directory + "/") ? ("/dev/\(name)", path) : nil
      }
  }

  private static var processes: [Int32] {
    ((try? FileSystem.system.list("/proc")) ?? []).compactMap { Int32($0) }
  }

  private static func openFiles(of process: Int32) -> [(descriptor: String, path: String)] {
    let directory = "/proc/\(process)/fd"
    return ((try? FileSystem.system.list(directory)) ?? []).compactMap { descriptor in
      var bytes = [UInt8](repeating: 0, count: 4096)
      let count = readlink("\(directory)/\(descriptor)", &bytes, bytes.count)
      guard count > 0 else { return nil }
      return (descriptor, String(decoding: bytes[..<count], as: UTF8.self))
    }
  }

  /// The first bytes of the locks that a process has by one of its descriptors.
  private static func locks(_ process: Int32, _ descriptor: String) -> [UInt64] {
    let path = "/proc/\(process)/fdinfo/\(descriptor)"
    guard let bytes = try? File(path, .reading).read(at: 0, count: factsLimit) else { return [] }
    return String(decoding: bytes, as: UTF8.self).split(separator: "\n").compactMap { line in
      let words = line.split { $0 == " " || $0 == "\t" }
      return words.count > 7 && words[0] == "lock:" ? UInt64(words[7]) : nil
    }
  }
}
