/// A place that disks are taken to, with rules of its own for the image.
public enum UploadTarget: String, Hashable, Sendable, CaseIterable {
  /// A managed disk or page blob of public Azure.
  case azure
  /// A page blob of Azure Stack Hub.
  case azureStack = "azure-stack"
  /// A machine of generation 1 in Hyper-V.
  case hyperV = "hyperv"

  /// The name people know it by.
  public var name: String {
    switch self {
    case .azure: "Azure"
    case .azureStack: "Azure Stack"
    case .hyperV: "Hyper-V"
    }
  }

  /// The largest disk, in bytes.
  public var largestDisk: UInt64 {
    switch self {
    case .azure, .hyperV: VHD.maximumSize
    case .azureStack: 1023 << 30
    }
  }

  /// The smallest disk, in bytes.
  public var smallestDisk: UInt64 {
    switch self {
    case .azure: 20 << 20
    case .azureStack, .hyperV: VHD.sizeUnit
    }
  }

  /// Refuses an export that this place would not accept.
  ///
  /// Sizes count as they are in the file: padded to a whole MiB, which Azure asks for ("The size
  /// must be a whole number (in MBs)") and every VHD written here has.
  /// - Parameters:
  ///   - diskSize: bytes of the disk.
  ///   - format: what it would be exported in.
  /// - Throws: `.ruleBroken` with the rule and what to do.
  public func check(diskSize: UInt64, format: ExportFormat) throws(ImageError) {
    try checkFormat(format)
    // The limits are whole MiB, so that padding leads across neither.
    if diskSize > largestDisk {
      throw broken("\(largestRule), and this disk has \(diskSize) bytes. \(largestAdvice)")
    }
    if diskSize <= smallestDisk - VHD.sizeUnit {
      throw broken(
        "a disk has at least \(smallestDisk >> 20) MiB (\(smallestDisk) bytes), and this one has "
          + "\(diskSize). Enlarge the disk before it is replicated.")
    }
  }

  /// Refuses an image file that this place would not accept: also one that was not made here.
  ///
  /// Reads its headers.
  /// - Throws: `.ruleBroken` with the rule and what to do; what `openImage` throws.
  public func check(imageAt path: String, as format: ImageFormat) throws(ImageError) {
    guard format == .vhd else { return try checkFormat(.raw) }
    let image = try VHDImage(path)
    try check(diskSize: image.size, format: image.isDynamic ? .dynamicVHD : .fixedVHD)
    guard self != .hyperV else { return }
    let advice = "Replicate the image and export it; exports follow this rule."
    guard image.size % VHD.sizeUnit == 0 else {
      throw broken(
        "a disk is a whole number of MiB, and this one has \(image.size) bytes. \(advice)")
    }
    guard image.fileSize == image.size + UInt64(VHDFooter.size) else {
      throw broken(
        "the footer follows the disk's last byte, and this file of \(image.fileSize) bytes is not "
          + "512 longer than its disk of \(image.size). \(advice)")
    }
  }

  private func checkFormat(_ format: ExportFormat) throws(ImageError) {
    switch (self, format) {
    case (.azure, .fixedVHD), (.azureStack, .fixedVHD): return
    case (.hyperV, .fixedVHD), (.hyperV, .dynamicVHD): return
    case (.hyperV, .raw):
      throw broken("the image is a VHD, and this one is raw. Export it with --format vhd.")
    default:
      throw broken(
        "the image is a fixed VHD, and this one is \(format == .raw ? "raw" : "a dynamic VHD"). "
          + "Export it with --format vhd.")
    }
  }

  private var largestRule: String {
    switch self {
    case .azure, .hyperV: "a VHD ends at 2,040 GiB (\(largestDisk) bytes)"
    case .azureStack: "a disk has at most 1,023 GiB (\(largestDisk) bytes)"
    }
  }

  private var largestAdvice: String {
    switch self {
    case .azure: "Export it raw, and copy it to a larger managed disk from inside a machine."
    case .azureStack: "Spread its content over smaller disks before it is replicated."
    case .hyperV: "Export it raw, and convert it: qemu-img convert -O vhdx."
    }
  }

  private func broken(_ rule: String) -> ImageError {
    ImageError(.ruleBroken, "\(name) refuses this image: \(rule)")
  }
}
