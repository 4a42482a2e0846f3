internal import Bytes
public import Codecs
public import FileIO
internal import Synchronization

/// A directory that holds the logs of protected machines. Start here:
///
/// - ``Machine`` and ``MachineSnapshot`` tell what is there, ``DiskReader`` reads a disk at a point;
/// - ``MachineWriter``, with a ``VaultLock``, adds to a log;
/// - ``Branch`` is disks above a cut that can be written;
/// - ``MachineCheck`` verifies, ``Rebuild`` makes a lost MANIFEST anew.
///
/// `Vault.docc` explains how it works and specifies every byte. Safe from any thread; calls block.
public final class Vault: Sendable {
  /// The vault's directory.
  public let path: String
  /// What `vault.json` says.
  public let description: VaultDescription
  let system: FileSystem
  let cache: PageCache
  private let isGlancing: Bool
  private let known = Mutex<[Identifier: Machine]>([:])
  /// Making and removing branches clears away what a crash left of either, so they go one by one.
  let branchChanges = Mutex(())

  /// Bytes of index pages kept in memory for all machines of a vault.
  static let indexCacheSize = 64 << 20

  /// Opens a vault for reading; takes no lock and writes nothing.
  ///
  /// One that is opened with `isGlancing` keeps a machine from being removed only while a disk of it is read,
  /// and not while it is just known what points there are.
  /// - Throws: `.notAVault`, `.newerVersion`, `.damaged`, or the failure of a system call.
  public init(
    opening path: String, isGlancing: Bool = false, on system: FileSystem = .system
  ) throws(VaultError) {
    (self.path, self.isGlancing) = (path, isGlancing)
    self.system = system
    description = try VaultDescription(readingFrom: path, on: system)
    cache = PageCache(byteCount: Self.indexCacheSize)
  }

  /// Forgets the index pages that are kept in memory, so that reads see those on disk as they are by now: for
  /// whoever has heard of damage.
  public func forgetIndexPages() { cache.removeAll() }

  /// Makes a vault in a directory that does not exist or is empty, and opens it.
  ///
  /// Durable when it returns. A `group` may read the vault; without one only the owner can.
  public static func create(
    at path: String, name: String, codec: Codec, group: UInt32? = nil,
    on system: FileSystem = .system
  ) throws(VaultError) -> Vault {
    if let objection = NameRule.objection(to: name) {
      throw VaultError(.invalid, "A vault can't be named '\(name)': \(objection).")
    }
    let permissions = Permissions(group: group)
    try makeEmptyDirectory(path, permissions, on: system)
    let description = VaultDescription(
      id: .random(), name: name, created: .now(), codec: codec)
    let json = try description.encode()
    try translated { () throws(IOError) in
      try permissions.makeDirectory(path + "/machines", on: system)
      let lock = try File(
        path + "/" + VaultLock.fileName, .creating(permissions: 0o600), on: system)
      try lock.sync()
      // Whoever finds vault.json finds the rest.
      try system.syncDirectory(path)
      let file = path + "/" + VaultDescription.fileName
      try system.replaceFile(file, with: json, permissions: permissions.file)
      try permissions.apply(to: file, on: system)
      try system.syncDirectory(path)
      try system.syncDirectory(FileSystem.parent(of: path))
    }
    return try Vault(opening: path, on: system)
  }

  private static func makeEmptyDirectory(
    _ path: String, _ permissions: Permissions, on system: FileSystem
  ) throws(VaultError) {
    do throws(IOError) {
      try permissions.makeDirectory(path, on: system)
    } catch {
      guard error.isPresent else { throw VaultError(error) }
      let names = try translated { () throws(IOError) in try system.list(path) }
      let isCleared = try translated { () throws(IOError) in
        try clearUnfinished(names, in: path, on: system)
      }
      guard isCleared else {
        let isVault = names.contains(VaultDescription.fileName)
        throw VaultError(
          .alreadyExists,
          isVault
            ? "'\(path)' is a vault already."
            : "'\(path)' is not empty; a vault needs a "
              + "directory of its own.")
      }
      try translated { () throws(IOError) in try permissions.apply(to: path, on: system) }
    }
  }

  /// Removes what a crash left of making a vault here; false, and nothing, if there is anything else.
  private static func clearUnfinished(
    _ names: [String], in path: String, on system: FileSystem
  ) throws(IOError) -> Bool {
    let leftovers = ["machines", VaultLock.fileName, VaultDescription.fileName + ".new"]
    guard Set(names).isSubset(of: leftovers) else { return false }
    if names.contains("machines") {
      guard try system.list(path + "/machines").isEmpty else { return false }
      try system.removeDirectory(path + "/machines")
    }
    for name in names where name != "machines" { try system.remove(path + "/" + name) }
    return true
  }

  var machinesPath: String { path + "/machines" }

  /// The group that may read the vault; nil if only the owner may.
  public var readingGroup: UInt32? { permissions.group }

  /// The permissions files of this vault are made with: those its directory has.
  var permissions: Permissions {
    guard let status = try? system.status(path), status.permissions & 0o040 != 0 else {
      return Permissions(group: nil)
    }
    return Permissions(group: status.group)
  }

  /// The machines, by name; one whose MANIFEST can't be read is among them and says so when used.
  public func machines() throws(VaultError) -> [Machine] {
    let names = try translated { () throws(IOError) in try system.list(machinesPath) }
    let named = names.compactMap(Identifier.init).map { id in
      let machine = machine(id)
      return (name: machine.name, machine: machine)
    }
    return named.sorted { $0.name < $1.name }.map(\.machine)
  }

  /// The machine of that name.
  ///
  /// - Throws: `.unknownMachine`, naming those there are.
  public func machine(named name: String) throws(VaultError) -> Machine {
    let all = try machines()
    if let found = all.first(where: { $0.name == name }) { return found }
    let names = all.map { "'\($0.name)'" }.joined(separator: ", ")
    throw VaultError(
      .unknownMachine,
      "The vault '\(path)' has no machine '\(name)'; "
        + (names.isEmpty ? "add one with 'tidemark machine add'." : "it has \(names)."))
  }

  /// The machine of that identifier, whether it can be read or not.
  func machine(_ id: Identifier) -> Machine {
    known.withLock { machines in
      if let machine = machines[id] { return machine }
      let machine = Machine(
        id: id, vault: description.id, directory: machinesPath + "/\(id)", cache: cache,
        isGlancing: isGlancing, on: system)
      machines[id] = machine
      return machine
    }
  }

  /// Lets go of a machine that is no more.
  func forget(_ id: Identifier) { known.withLock { $0[id] = nil } }

  /// Bytes that are left free on a file system of `total` bytes, so that a full vault can be mended.
  public static func reserve(of total: UInt64) -> UInt64 { 2 * min(1 << 30, total / 64) }

  /// Bytes free, and bytes in all, where the vault lies.
  public func space() throws(VaultError) -> (free: UInt64, total: UInt64) {
    try translated { () throws(IOError) in try system.space(at: path) }
  }
}

/// Who may read the files of a vault.
struct Permissions: Sendable {
  /// The group that may read; nil if only the owner may.
  var group: UInt32?

  var file: UInt32 { group == nil ? 0o600 : 0o640 }
  var directory: UInt32 { group == nil ? 0o700 : 0o750 }

  func makeDirectory(_ path: String, on system: FileSystem) throws(IOError) {
    try system.makeDirectory(path, permissions: directory)
    try apply(to: path, on: system)
  }

  func apply(to path: String, on system: FileSystem) throws(IOError) {
    try system.setPermissions(path, directory: directory, file: file)
    if let group { try system.setGroup(path, group) }
  }
}
