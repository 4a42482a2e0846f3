internal import FileIO
internal import Glibc

/// A new file system in a sparse image, mounted until the value ends. Needs root.
public final class LoopMount: Sendable {
  /// A kind of file system that the tests format images with.
  public enum Kind: String, CaseIterable, Sendable { case ext4, xfs, btrfs, ntfs }

  /// Where it is mounted.
  public let path: String
  /// The image it lies in.
  public let image: String
  private let directory: TemporaryDirectory

  /// Makes an image of `size` bytes, formats it and mounts it.
  public init(_ kind: Kind, size: UInt64) throws {
    directory = try TemporaryDirectory("loop-\(kind)")
    image = directory.file("image")
    path = directory.file("mount")
    try File(image, .creating(permissions: 0o600)).truncate(to: size)
    try Self.format(image, kind)
    try FileSystem.system.makeDirectory(path)
    try Program.require("mount", "-o", "loop", image, path)
  }

  deinit {
    // A daemon may still be leaving it; afterwards it goes once nobody uses it.
    let ended = Program.poll(seconds: 5) { umount2(path, 0) == 0 || errno == EINVAL }
    if !ended { umount2(path, 2) }  // MNT_DETACH
  }

  /// Makes a file system in an image or device.
  public static func format(_ image: String, _ kind: Kind) throws {
    switch kind {
    case .ext4: try Program.require("mkfs.ext4", "-q", "-F", image)
    case .xfs: try Program.require("mkfs.xfs", "-q", "-f", image)
    case .btrfs: try Program.require("mkfs.btrfs", "-q", "-f", image)
    case .ntfs: try Program.require("mkfs.ntfs", "-q", "-Q", "-F", image)
    }
  }

  /// Waits until no loop device has an image any more. The kernel ends such a device some time after
  /// its file system is unmounted, and writes until then.
  ///
  /// - Returns: False if one still has it after half a minute.
  public static func isDetached(_ image: String) -> Bool {
    Program.poll(seconds: 30) { (try? Program.run("losetup", "-j", image))?.output == "" }
  }

  /// The path of `name` in the file system.
  public func file(_ name: String) -> String { path + "/" + name }
}
