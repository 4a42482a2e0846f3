internal import Bytes
internal import FileIO

/// All plain files of a flattened branch.
final class FlatDisks: Sendable {
  let disks: [FlatDisk]

  init(_ disks: [FlatDisk]) { self.disks = disks }

  /// The disk of that number; there is one for each disk of the branch.
  func disk(_ number: DiskNumber) -> FlatDisk? { disks.first { $0.number == number } }

  /// Makes everything durable that was written to any of them before the call.
  func sync() throws(VaultError) {
    try translated { () throws(IOError) in for disk in disks { try disk.sync() } }
  }

  /// When each was written to last, whoever did.
  var modified: [Timestamp] {
    get throws(VaultError) {
      var times: [Timestamp] = []
      for disk in disks { times.append(try disk.modified) }
      return times
    }
  }

  var unsyncedWrites: UInt64 { disks.reduce(0) { $0 + $1.unsyncedWrites } }
  var allocated: UInt64 { disks.reduce(0) { $0 + $1.allocated } }
}

extension LogPlace {
  func flatPath(_ disk: DiskNumber) -> String { directory + "/" + FlatDisk.name(of: disk) }

  /// Opens the files of a flattened branch.
  ///
  /// - Throws: `.damaged` if one is missing or has not the size of its disk.
  func openFlat(_ disks: [PointDisk], _ mode: OpenMode) throws(VaultError) -> FlatDisks {
    var opened: [FlatDisk] = []
    for disk in disks {
      let path = flatPath(disk.number)
      do throws(IOError) { opened.append(try FlatDisk(disk, at: path, mode, on: system)) } catch {
        guard error.isMissing else { throw VaultError(error) }
        throw VaultError(
          .damaged,
          "'\(path)' is missing: the branch was flattened to it, and what it held is nowhere else.",
          cause: error)
      }
    }
    for disk in opened { try disk.checkSize() }
    return FlatDisks(opened)
  }

  private static var clonePrefix: String { ".clone-" }

  /// Takes the names of clones away whose makers were killed; one that is being made has no need of its name.
  func removeClones() {
    for name in (try? system.list(directory)) ?? [] where name.hasPrefix(Self.clonePrefix) {
      try? system.remove(directory + "/" + name)
    }
  }

  /// The disk of a branch as it is at this moment, in a file without a name.
  ///
  /// - Throws: `.invalid` where there are several disks, which are no moment's, or the file system can't do it.
  func cloneFlat(_ branch: BranchDescription) throws(VaultError) -> FlatDisks {
    let disks = try openFlat(branch.disks, .reading)
    let reason = "The disks of '\(branch.name)' are plain files"
    let advice = "Stop what uses them, then run this again."
    guard let disk = disks.disks.first, disks.disks.count == 1 else {
      throw VaultError(
        .invalid, "\(reason), and several can't be taken as they are at one moment. \(advice)")
    }
    let path = directory + "/\(Self.clonePrefix)\(Identifier.random())"
    do throws(IOError) {
      let facts = branch.disks[0]
      let clone = try FlatDisk(facts, at: path, .creating(permissions: 0o600), on: system)
      defer { try? system.remove(path) }
      try clone.clone(disk)
      return FlatDisks([clone])
    } catch {
      guard error.isUnsupported else { throw VaultError(error) }
      throw VaultError(
        .invalid,
        "\(reason), and this file system can't take one as it is at one moment (\(error.description)). "
          + advice)
    }
  }

  /// Makes the files that a branch is to be flattened to, full of zeros that take no room; durable.
  func makeFlat(_ disks: [PointDisk]) throws(VaultError) -> FlatDisks {
    try removeFlat(disks)
    var made: [FlatDisk] = []
    for disk in disks {
      let path = flatPath(disk.number)
      try translated { () throws(IOError) in
        made.append(
          try FlatDisk(disk, at: path, .creating(permissions: permissions.file), on: system))
        try permissions.apply(to: path, on: system)
      }
    }
    let flat = FlatDisks(made)
    for disk in made { try disk.clear(from: 0) }
    try flat.sync()
    try syncNames()
    return flat
  }

  /// Has the copy of the MANIFEST's beginning say that the branch was flattened; durable. Whatever is written
  /// from then on is in the plain files alone.
  func tellFlattened(_ state: ManifestState) throws(VaultError) {
    guard let branch = state.branch, let last = state.flattened else { return }
    let path = directory + "/" + Manifest.firstName
    let known = try? Manifest.read(path, identity: identity, on: system)
    guard known?.state.flattened == nil else { return }
    try ManifestWriter.create(
      path, entries: [.configuration(state.configuration), .branch(branch), .flattened(last)],
      identity: identity, permissions: permissions.file, on: system)
    try translated { () throws(IOError) in try permissions.apply(to: path, on: system) }
  }

  /// Removes what a branch was to be flattened to: the checkpoint first, for without it nothing else counts.
  func removeFlat(_ disks: [PointDisk]) throws(VaultError) {
    try translated { () throws(IOError) in
      let checkpoint = directory + "/" + FlatteningCheckpoint.fileName
      if system.exists(checkpoint) {
        try system.remove(checkpoint)
        try system.syncDirectory(directory)
      }
      for path in disks.map({ flatPath($0.number) }) where system.exists(path) {
        try system.remove(path)
      }
    }
  }

  /// Removes the log of a branch that was flattened, unless somebody still reads it, and what told how far the
  /// copy was. Each can be done again after a crash.
  ///
  /// - Returns: false if somebody still reads it.
  @discardableResult
  func removeFlattenedLog(_ state: ManifestState) throws(VaultError) -> Bool {
    guard state.flattened != nil else { return false }
    let names = try translated { () throws(IOError) in try system.list(directory) }
    let checkpoint = FlatteningCheckpoint.fileName
    try translated { () throws(IOError) in
      if names.contains(checkpoint) { try system.remove(directory + "/" + checkpoint) }
    }
    let log = names.compactMap(LogFileName.init)
    guard !log.isEmpty else { return true }
    let all: Range<UInt64> = 0..<1 << 62
    let isRead = try ReaderLease.isTaken(all, directory: directory, on: system)
    let isSeen = try ReaderLease.isLookedAt(all, directory: directory, on: system)
    guard !isRead, !isSeen else { return false }
    for name in log {
      files.forget(name)
      try translated { () throws(IOError) in try system.remove(files.path(name)) }
    }
    return true
  }
}
