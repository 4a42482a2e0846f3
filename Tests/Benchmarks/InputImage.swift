internal import FileIO
internal import Support

/// The disk that is replicated: ext4 with files of this machine, as it was before any change.
struct InputImage {
  let path: String
  let size: UInt64
  /// Where its data lies.
  let data: [Range<UInt64>]
  var dataSize: UInt64 { data.reduce(0) { $0 + UInt64($1.count) } }

  struct TooLittle: Error, CustomStringConvertible {
    let found: UInt64
    var description: String { "Only \(found >> 20) MiB of files were found to fill the disk with." }
  }

  struct StillAttached: Error, CustomStringConvertible {
    let image: String
    var description: String { "A loop device still has \(image): see `losetup -j \(image)`." }
  }

  /// Where files are taken from.
  private static let sources = ["/usr", "/var/lib", "/opt"]

  init(_ settings: Settings, on bench: Workbench) throws {
    (path, size) = (bench.file("pristine.raw"), settings.imageSize)
    try File(path, .creating(permissions: 0o600)).truncate(to: size)
    try Program.require(
      "mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", path)
    let list = bench.file("files")
    let names = try Self.choose(settings)
    try FileSystem.system.replaceFile(
      list, with: Array(names.joined(separator: "\0").utf8), permissions: 0o600)
    let inside = try bench.makeDirectory("inside")
    try Program.require("mount", "-o", "loop", path, inside)
    let copied = try Program.run(
      "bash", "-c",
      """
      tar -C / --create --null --no-recursion --ignore-failed-read --files-from="$1" |
        tar -C "$2" --extract --no-same-owner
      """, "copy", list, inside, seconds: 1200)
    try Program.require("umount", inside)
    guard LoopMount.isDetached(path) else { throw StillAttached(image: path) }
    guard copied.succeeded else { throw ProgramFailure(command: "tar", result: copied) }
    try bench.settle()
    data = try FileSystem.data(of: path)
  }

  /// Files of this machine, in an order that the seed decides, up to the size wanted.
  private static func choose(_ settings: Settings) throws -> [String] {
    let found = try Program.run(
      "find", sources[0], sources[1], sources[2], "-xdev", "-type", "f", "-size", "-65536k",
      "-printf", "%s %p\\0", seconds: 600)
    var files = found.output.split(separator: "\0").compactMap { line -> (UInt64, Substring)? in
      let parts = line.split(separator: " ", maxSplits: 1)
      guard parts.count == 2, let size = UInt64(parts[0]) else { return nil }
      return (size, parts[1].dropFirst())
    }
    files.sort { $0.1 < $1.1 }
    var generator = SeededGenerator(seed: settings.seed)
    files.shuffle(using: &generator)
    var (names, total) = ([String](), UInt64(0))
    for (size, name) in files where total + size <= settings.dataSize {
      names.append(String(name))
      total += size
    }
    guard total >= settings.dataSize / 10 * 9 else { throw TooLittle(found: total) }
    return names
  }
}
