internal import FileIO
internal import Support

/// The peer: a chain of uncompressed qcow2 files, one a recovery point, served by QEMU's FUSE export.
final class QemuChain {
  private let bench: Workbench
  private let directory: String
  private let image: InputImage
  /// The files, the oldest first.
  private(set) var files: [String]

  /// Starts a chain with all of the image, in a directory of that name.
  init(_ image: InputImage, on bench: Workbench, named name: String = "chain") throws {
    (self.bench, self.image) = (bench, image)
    directory = try bench.makeDirectory(name)
    files = [directory + "/1.qcow2"]
    try Program.require(
      "qemu-img", "convert", "-f", "raw", "-O", "qcow2", image.path, files[0], seconds: 600)
    try FileSystem.system.makeDirectory(directory + "/bytes")
  }

  /// Adds a file with these writes.
  func add(_ writes: [Write]) throws {
    let file = directory + "/\(files.count + 1).qcow2"
    try Program.require(
      "qemu-img", "create", "-q", "-u", "-f", "qcow2", "-F", "qcow2", "-b", files[files.count - 1],
      file, String(image.size))
    let source = try File(image.path, .reading)
    var arguments = ["-t", "unsafe", "-f", "qcow2"]
    for (number, write) in writes.enumerated() {
      let bytes = directory + "/bytes/\(number)"
      if !FileSystem.system.exists(bytes) { _ = try File(bytes, .creating(permissions: 0o600)) }
      let file = try File(bytes, .writing)
      try file.truncate(to: UInt64(write.count))
      try file.write(try source.read(at: write.source, count: write.count), at: 0)
      arguments += ["-c", "write -q -s \(bytes) \(write.offset) \(write.count)"]
    }
    let result = try Program("qemu-io", arguments + [file]).wait(seconds: 120)
    guard result.succeeded, result.errors.isEmpty, result.output.isEmpty else {
      throw ProgramFailure(command: "qemu-io", result: result)
    }
    files.append(file)
  }

  /// The files that make a chain of that depth.
  func files(depth: Int) -> [String] { Array(files.prefix(depth)) }

  /// Serves the disk as a chain of that depth has it.
  func serve(depth: Int) throws -> ServedDisk {
    try serve(files[depth - 1], isWritable: false)
  }

  /// Serves the disk at the first file, to be written to above that.
  func serveOverlay() throws -> ServedDisk {
    let overlay = directory + "/overlay.qcow2"
    try Program.require(
      "qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", files[0], overlay)
    return try serve(overlay, isWritable: true)
  }

  private func serve(_ file: String, isWritable: Bool) throws -> ServedDisk {
    let mountPoint = directory + "/served"
    if !FileSystem.system.exists(mountPoint) {
      _ = try File(mountPoint, .creating(permissions: 0o600))
    }
    let (writable, readOnly) = isWritable ? ("on", "off") : ("off", "on")
    let driver = "driver=qcow2,node-name=disk,read-only=\(readOnly),discard=unmap,file.driver=file"
    return try ServedDisk(
      [
        "qemu-storage-daemon", "--blockdev", "\(driver),file.filename=\(file)", "--export",
        "type=fuse,id=export,node-name=disk,mountpoint=\(mountPoint),writable=\(writable)",
      ], mountPoint: mountPoint, path: mountPoint, size: image.size)
  }
}
