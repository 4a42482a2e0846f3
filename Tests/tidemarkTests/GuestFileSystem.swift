import FileIO
import Foundation
import Support
import Testing

/// A file system in an image, used as a guest would: mounted, changed, and put away again.
final class GuestFileSystem {
  let kind: LoopMount.Kind
  let image: String
  private let mountPoint: String
  private var names: [String] = []
  private var serial = 0

  /// Formats an image of so many bytes.
  init(_ kind: LoopMount.Kind, image: String, size: UInt64) throws {
    self.kind = kind
    self.image = image
    mountPoint = image + ".mount"
    try File(image, .creating(permissions: 0o600)).truncate(to: size)
    try LoopMount.format(image, kind)
    try FileSystem.system.makeDirectory(mountPoint)
  }

  /// Runs `body` with the path of the mounted file system; everything is in the image afterwards.
  func mounted(_ body: (String) throws -> Void) throws {
    try Program.require("mount", "-o", "loop", image, mountPoint)
    defer {
      let gone = Program.poll(seconds: 30) {
        let ended = (try? Program.run("umount", mountPoint))?.succeeded == true
        return ended || (try? Program.run("mountpoint", "-q", mountPoint))?.succeeded == false
      }
      #expect(gone, "\(mountPoint) can't be unmounted")
      #expect(LoopMount.isDetached(image), "\(image) stays attached")
    }
    try body(mountPoint)
  }

  /// Fills about the half with this system's own files.
  func fill(upTo bytes: UInt64) throws {
    try mounted { path in
      let script = """
        find /usr/share /usr/bin /usr/lib/x86_64-linux-gnu -xdev -type f -size -4096k \
          -printf '%s\\t%p\\0' 2>/dev/null | shuf -z --random-source=<(yes) |
        while IFS=$'\\t' read -r -d '' size file; do
          ((left -= size)) || true
          if ((left < 0)); then break; fi
          printf '%s\\0' "$file"
        done | xargs -0 -r cp --parents -t "$1" 2>/dev/null
        """
      _ = try Program.run(
        "bash", "-c", "left=\(bytes)\n" + script, "fill", path, seconds: 600)
      let used = try Program.require("du", "-s", "--block-size=1M", path)
      #expect(try #require(UInt64(used.prefix { $0.isNumber })) >= bytes >> 21, "\(used)")
    }
  }

  /// Changes it as a machine in use would: files appear, go, grow, shrink, move and are written to.
  func change(_ random: inout SeededGenerator) throws {
    var branch = random.branch()
    try mounted { path in try change(in: path, &branch) }
  }

  /// The same, where it is mounted already.
  func change(in path: String, _ random: inout SeededGenerator) throws {
    for _ in 0..<random.number(5..<30) {
      switch names.isEmpty ? 0 : random.number(0..<6) {
      case 0, 1:
        serial += 1
        let name = "\(path)/changing-\(serial)"
        let file = try File(name, .creating(permissions: 0o644))
        try file.write(random.bytes(random.number(1..<1 << 20)), at: 0)
        names.append(name)
      case 2:
        let name = names.remove(at: random.number(0..<names.count))
        try FileSystem.system.remove(name)
      case 3:
        let file = try File(names[random.number(0..<names.count)], .writing)
        try file.truncate(to: UInt64(random.number(0..<2 << 20)))
      case 4:
        let index = random.number(0..<names.count)
        serial += 1
        let name = "\(path)/moved-\(serial)"
        try FileSystem.system.rename(names[index], to: name)
        names[index] = name
      default:
        let file = try File(names[random.number(0..<names.count)], .writing)
        try file.write(
          random.bytes(random.number(1..<100_000)), at: UInt64(random.number(0..<1 << 20)))
      }
    }
  }

  /// What the file system's own checker says of an image of it, changing nothing: its status.
  func check(_ path: String) throws -> Int32? {
    switch kind {
    case .ext4: try Program.run("e2fsck", "-fn", path, seconds: 600).status
    case .xfs: try Program.run("xfs_repair", "-n", "-f", path, seconds: 600).status
    case .btrfs: try Program.run("btrfs", "check", "--readonly", path, seconds: 600).status
    case .ntfs: try Program.run("ntfsfix", "--no-action", path, seconds: 600).status
    }
  }
}

/// A mount of the vault for as long as the value lives.
final class VaultMount {
  let path: String
  private let tool: Tool
  private var hasEnded = false

  init(_ tool: Tool) throws {
    self.tool = tool
    path = tool.file("mnt")
    try FileSystem.system.makeDirectory(path)
    try tool.require("mount", path)
  }

  deinit {
    if !hasEnded { #expect(throws: Never.self) { try end() } }
  }

  /// Unmounts now.
  func end() throws {
    hasEnded = true
    try tool.require("unmount", path)
    try FileSystem.system.removeDirectory(path)
  }

  /// The path of a file of a point.
  func file(_ machine: String, _ point: String, _ name: String) -> String {
    "\(path)/\(machine)/points/\(point)/\(name)"
  }
}
