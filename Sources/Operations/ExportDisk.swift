public import Bytes
public import ImageFormats
public import Vault

/// Copies a disk out of a vault, as it was at a recovery point, or as it is since a failover.
public struct ExportDisk: Sendable {
  /// The disk, at its point or cut.
  public let disk: any DiskContent
  /// Which disk of the machine.
  public let number: DiskNumber
  /// The file to make.
  public let output: String
  private let export: DiskExport

  /// Describes an export. Nothing is written yet.
  ///
  /// - Parameters:
  ///   - number: the disk; nil if the point has only one.
  ///   - found: the recovery point.
  ///   - vault: the vault it is in.
  ///   - format: what to make.
  ///   - target: where the file shall be accepted; nil not to ask.
  ///   - output: the file to make.
  ///   - replaces: whether an existing file is replaced, once the new one is whole.
  /// - Throws: `.refused` with the rule of `target` that the disk breaks, or if the disk must be
  ///   named; `.unknown`.
  public init(
    disk number: DiskNumber?, of found: PointLookup, in vault: Vault, format: ExportFormat,
    for target: UploadTarget?, to output: String, replaces: Bool
  ) throws(OperationError) {
    let disk = try found.disk(number)
    try Self.check(disk, format, target)
    let (machine, point) = (found.snapshot.machine, found.point)
    var export = DiskExport(
      format: format,
      identity: "\(vault.description.id) \(machine) \(point.sequence.rawValue) \(disk.number)",
      identifier: point.imageIdentifier(of: disk.number, machine: machine), created: point.time)
    export.replacesExisting = replaces
    (self.disk, self.number, self.output, self.export) = (disk, disk.number, output, export)
  }

  /// Describes an export of a failed-over disk. Nothing is written yet. One that was cut off is gone on with
  /// only if nothing was written to the disks since.
  ///
  /// - Parameters: as of a recovery point, but for:
  ///   - found: the disks of the failover.
  /// - Throws: `.refused` with the rule of `target` that the disk breaks, or if the disk must be
  ///   named; `.unknown`.
  public init(
    disk number: DiskNumber?, of found: FailedOverDisks, in vault: Vault, format: ExportFormat,
    for target: UploadTarget?, to output: String, replaces: Bool
  ) throws(OperationError) {
    let (cut, disk) = (found.cut, try found.disk(number))
    try Self.check(disk, format, target)
    // Of plain files nobody can tell whether something was written to them since.
    let state = cut.description.isFlat ? "\(Identifier.random())" : "\(cut.sequence.rawValue)"
    var export = DiskExport(
      format: format,
      identity: "\(vault.description.id) branch \(cut.description.id) \(state) "
        + "\(disk.number)",
      identifier: cut.imageIdentifier(of: disk.number), created: cut.description.created)
    export.replacesExisting = replaces
    export.isSettled = { !found.hasChanged }
    (self.disk, self.number, self.output, self.export) = (disk, disk.number, output, export)
  }

  /// - Throws: `.refused` if somebody wrote to the disk meanwhile.
  private func checkUnchanged() throws(OperationError) {
    guard !export.isSettled() else { return }
    throw OperationError(
      .refused,
      "The disk was written to while it was read, so what was read is no one moment's: its machine was started, "
        + "or somebody opened it. Stop what uses it, then run this again.")
  }

  private static func check(
    _ disk: any DiskContent, _ format: ExportFormat, _ target: UploadTarget?
  ) throws(OperationError) {
    guard let target else { return }
    try inImages { () throws(ImageError) in
      try target.check(diskSize: disk.size, format: format)
    }
  }

  /// Writes the file, or goes on with one that was cut off.
  ///
  /// Blocks until it is durable under its name. `progress` hears how many bytes of the disk are done,
  /// and how many there are; `cancelled` is asked as often.
  public func write(
    progress: (_ done: UInt64, _ total: UInt64) -> Void, cancelled: () -> Bool
  ) throws(OperationError) -> DiskExport.Summary {
    do throws(OperationError) {
      return try inImages { () throws(ImageError) in
        try export.run(disk, to: output, progress: progress, isCancelled: cancelled)
      }
    } catch {
      if error.code != .cancelled { try checkUnchanged() }
      throw error
    }
  }

  /// Reads the file back and compares it with the disk.
  ///
  /// - Throws: `.damaged` with the first byte that differs.
  public func verify(
    progress: (_ done: UInt64, _ total: UInt64) -> Void, cancelled: () -> Bool
  ) throws(OperationError) {
    do throws(OperationError) {
      try inImages { () throws(ImageError) in
        try export.verify(disk, at: output, progress: progress, isCancelled: cancelled)
      }
    } catch {
      if error.code == .damaged { try checkUnchanged() }
      throw error
    }
  }
}
