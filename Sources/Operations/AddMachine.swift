internal import Bytes
internal import Capture
internal import FileIO
internal import ImageFormats
public import Vault

/// Adds a machine to a vault, after a look at its disks.
public struct AddMachine: Sendable {
  /// The machine's name.
  public var name: String
  /// What runs on it.
  public var operatingSystem: OperatingSystem
  /// The image files or devices of its disks, the first being disk 0.
  public var disks: [String]
  /// How image files are read; a VHD is always scanned.
  public var capture: CaptureMode
  /// What the files hold; nil to go by each file's extension.
  public var format: SourceFormat?

  /// Describes the machine to add.
  public init(
    name: String, operatingSystem: OperatingSystem, disks: [String], capture: CaptureMode,
    format: SourceFormat?
  ) {
    (self.name, self.operatingSystem, self.disks) = (name, operatingSystem, disks)
    (self.capture, self.format) = (capture, format)
  }

  /// Extensions of formats that hold a disk in a way nothing here reads. Such a file replicated as
  /// raw would be a faithful copy of something that no machine can use as its disk.
  private static let containers = [
    "vhdx", "avhd", "avhdx", "qcow2", "qcow", "vmdk", "vdi", "vhdset",
  ]

  /// Checks everything, takes the vault's lock, and adds the machine.
  ///
  /// - Throws: `.refused` for names and settings, `.source` for disks, `.locked`, `.unwritable`.
  public func run(in vault: Vault) throws(OperationError) -> MachineSummary {
    let configuration = try checked()
    return try add(configuration, to: try WritableVault(vault))
  }

  /// Checks everything, and adds the machine.
  ///
  /// - Throws: `.refused` for names and settings, `.source` for disks, `.unwritable`.
  public func run(in vault: WritableVault) throws(OperationError) -> MachineSummary {
    try add(try checked(), to: vault)
  }

  private func checked() throws(OperationError) -> MachineConfiguration {
    if let objection = NameRule.objection(to: name) {
      throw OperationError(.refused, "A machine can't be named '\(name)': \(objection).")
    }
    var configured: [DiskConfiguration] = []
    for (number, path) in disks.enumerated() { configured.append(try disk(number, path)) }
    try checkDistinct(configured)
    for disk in configured {
      try inCapture { () throws(CaptureError) in
        _ = try SourceCheck.size(of: disk)
        try SourceCheck.mode(of: disk)
      }
    }
    return MachineConfiguration(name: name, operatingSystem: operatingSystem, disks: configured)
  }

  private func add(
    _ configuration: MachineConfiguration, to writable: WritableVault
  ) throws(OperationError) -> MachineSummary {
    try writable.changingList { () throws(OperationError) in
      MachineSummary(
        try inVault { () throws(VaultError) in
          try writable.vault.addMachine(configuration, lock: writable.lock)
        })
    }
  }

  private func disk(_ number: Int, _ path: String) throws(OperationError) -> DiskConfiguration {
    guard !path.isEmpty, let number = DiskNumber(exactly: number) else {
      throw OperationError(.refused, "Disk \(number) needs the path of an image file or device.")
    }
    let name = path.lowercased()
    if format == nil, let found = Self.containers.first(where: { name.hasSuffix("." + $0) }) {
      throw OperationError(
        .refused,
        "Disk \(number), '\(path)', is by its name a .\(found) file, which can't be read as a disk. "
          + "Convert it with 'qemu-img convert' to raw or VHD; or, if it holds the plain bytes of "
          + "the disk, say so with --disk-format raw.")
    }
    let format = self.format ?? (ImageFormat(nameOf: path) == .vhd ? .vhd : .raw)
    return DiskConfiguration(
      number: number, path: try absolute(path), capture: format == .vhd ? .scan : capture,
      format: format)
  }

  private func checkDistinct(_ disks: [DiskConfiguration]) throws(OperationError) {
    var seen: [String: DiskNumber] = [:]
    for disk in disks {
      // A path that can't be resolved is told of when the disk is looked at.
      let real = (try? FileSystem.resolved(disk.path)) ?? disk.path
      if let other = seen[real] {
        throw OperationError(
          .refused, "Disk \(disk.number), '\(disk.path)', is the same as disk \(other).")
      }
      seen[real] = disk.number
    }
  }
}
