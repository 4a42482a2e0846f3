import Bytes
import FileIO
import ImageFormats
import Support
import Testing

struct UploadTargetTests {
  private let GiB: UInt64 = 1 << 30

  private func expect(
    _ target: UploadTarget, _ size: UInt64, _ format: ExportFormat, refuses words: String,
    _ location: SourceLocation = #_sourceLocation
  ) {
    let error = #expect(throws: ImageError.self, sourceLocation: location) {
      try target.check(diskSize: size, format: format)
    }
    #expect(error?.code == .ruleBroken, sourceLocation: location)
    let message = error?.message ?? ""
    #expect(message.contains(words), "\(message)", sourceLocation: location)
    #expect(message.hasPrefix("\(target.name) refuses this image: "), sourceLocation: location)
  }

  @Test("the command line's names are those of the targets")
  func names() {
    #expect(UploadTarget.allCases.map(\.rawValue) == ["azure", "azure-stack", "hyperv"])
    #expect(ExportFormat.allCases.map(\.rawValue) == ["raw", "vhd", "vhd-dynamic"])
  }

  @Test("Azure and Azure Stack take only fixed VHDs, Hyper-V both kinds, none a raw image")
  func formats() throws {
    for target in [UploadTarget.azure, .azureStack] {
      try target.check(diskSize: 30 * GiB, format: .fixedVHD)
      expect(target, 30 * GiB, .dynamicVHD, refuses: "a fixed VHD, and this one is a dynamic VHD")
      expect(target, 30 * GiB, .raw, refuses: "a fixed VHD, and this one is raw")
    }
    try UploadTarget.hyperV.check(diskSize: 30 * GiB, format: .fixedVHD)
    try UploadTarget.hyperV.check(diskSize: 30 * GiB, format: .dynamicVHD)
    expect(.hyperV, 30 * GiB, .raw, refuses: "a VHD, and this one is raw")
  }

  @Test("each target's largest and smallest disk is accepted, and one sector beyond is not")
  func sizes() throws {
    let stack = 1023 * GiB
    try UploadTarget.azureStack.check(diskSize: stack, format: .fixedVHD)
    expect(.azureStack, stack + 512, .fixedVHD, refuses: "at most 1,023 GiB (1098437885952 bytes)")
    expect(.azureStack, 0, .fixedVHD, refuses: "at least 1 MiB")
    for target in [UploadTarget.azure, .hyperV] {
      try target.check(diskSize: 2040 * GiB, format: .fixedVHD)
      expect(target, 2040 * GiB + 512, .fixedVHD, refuses: "a VHD ends at 2,040 GiB")
      expect(target, .max, .fixedVHD, refuses: "a VHD ends at 2,040 GiB")
    }
    // The size is the padded one: 19 MiB and a sector become 20 MiB.
    try UploadTarget.azure.check(diskSize: (19 << 20) + 512, format: .fixedVHD)
    expect(.azure, 19 << 20, .fixedVHD, refuses: "at least 20 MiB (20971520 bytes)")
    try UploadTarget.hyperV.check(diskSize: 512, format: .dynamicVHD)
  }

  @Test("an image made elsewhere is refused if its size is rounded to cylinders or it has a tail")
  func files() throws {
    let directory = try TemporaryDirectory("upload")
    let path = directory.file("disk.vhd")
    try Program.require(
      "qemu-img", "create", "-f", "vpc", "-o", "subformat=fixed", path, "20971520")
    let error = #expect(throws: ImageError.self) {
      try UploadTarget.azureStack.check(imageAt: path, as: .vhd)
    }
    #expect(error?.message.contains("a disk is a whole number of MiB") == true)
    try UploadTarget.hyperV.check(imageAt: path, as: .vhd)

    try FileSystem.system.remove(path)
    let disk = MemoryDisk(size: 21 << 20)
    try ExportTests.export(.fixedVHD).run(disk, to: path)
    for target in UploadTarget.allCases { try target.check(imageAt: path, as: .vhd) }
    let footer = try File(path, .reading).read(at: 21 << 20, count: 512)
    try File(path, .writing).write(footer, at: (21 << 20) + 512)
    let tail = #expect(throws: ImageError.self) {
      try UploadTarget.azure.check(imageAt: path, as: .vhd)
    }
    #expect(tail?.message.contains("not 512 longer than its disk") == true)
    #expect(throws: ImageError.self) { try UploadTarget.azure.check(imageAt: path, as: .raw) }
  }
}
