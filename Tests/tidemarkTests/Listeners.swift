import Foundation
import Support

/// What a process listens on (proc(5)).
struct Listeners {
  /// TCP ports.
  private(set) var ports: Set<Int> = []
  /// How many sockets of the file system.
  let sockets: Int

  init(of process: Int32) throws {
    let own = Set(
      try Program.require("sh", "-c", "readlink /proc/\(process)/fd/*").split(separator: "\n")
        .compactMap { $0.firstMatch(of: /^socket:\[(\d+)\]$/).map { String($0.1) } })
    sockets = try Self.table("/proc/\(process)/net/unix").count { line in
      // __SO_ACCEPTCON: it listens.
      line.count > 6 && line[3] == "00010000" && own.contains(line[6])
    }
    for table in ["tcp", "tcp6"] {
      for line in try Self.table("/proc/\(process)/net/\(table)") {
        let port = line[1].split(separator: ":").last.flatMap { Int($0, radix: 16) }
        guard line.count > 9, line[3] == "0A", own.contains(line[9]), let port else { continue }
        ports.insert(port)
      }
    }
  }

  private static func table(_ path: String) throws -> [[String]] {
    try Program.require("cat", path).split(separator: "\n").map {
      $0.split(separator: " ").map(String.init)
    }
  }

  /// The rows of the page of ports that tell what a service or relay listens on.
  static func page(of place: String) throws -> [Substring] {
    let path = URL(filePath: #filePath).deletingLastPathComponent()
      .appending(path: "../../Sources/ControlAPI/ControlAPI.docc/Ports.md")
    return try String(contentsOf: path, encoding: .utf8).split(separator: "\n").filter {
      $0.hasPrefix("| \(place) |") && $0.contains("| in |")
    }
  }
}
