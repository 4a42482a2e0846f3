public import FileIO
internal import Glibc
internal import Synchronization

/// A disk in memory that forgets, tears and breaks as real ones do, all from one seed.
///
/// What a sync has not made durable may be lost in a crash. The code under test must
///
/// *survive*, losing nothing it acknowledged:
/// - power loss (`crash`, `cutPower`): of the writes and resizes of a file since its last sync any
///   subset reaches the disk, in any order, each write torn at sectors of 512 bytes; a file may
///   have grown though its bytes did not arrive (they are zeros then);
/// - creates, renames, removals and new directories undone, any subset, if their directory was not
///   synced since; each alone is atomic; syncing a file does not make its name durable;
/// - a sync that fails (`failSyncs`): its changes are lost or kept at random, stay visible until
///   the caches are dropped or the power goes, and a later sync of that file succeeds without them;
/// - no room (`setCapacity`): a write stops after some of its bytes and says ENOSPC;
///
/// *notice*, and never take for good data:
/// - sectors that can't be read (`failReads`): EIO;
/// - bits that flip at rest (`flipBit`).
///
/// A sync that has returned is believed: disks that lie about their cache are not simulated. All
/// calls may be made from several threads at once. Symbolic and hard links do not exist here.
public final class SimulatedDisk: Sendable {
  /// What is written in one piece or not at all, in bytes.
  public static let sectorSize = 512

  let state: Mutex<State>

  /// An empty disk whose faults `seed` decides.
  public init(seed: UInt64) { state = Mutex(State(generator: SeededGenerator(seed: seed))) }

  /// The disk as the file system for the code under test.
  public var fileSystem: FileSystem { FileSystem(double: self) }

  /// Everything the disk holds, guarded by its mutex.
  struct State {
    var generator: SeededGenerator
    let root = SimulatedNode(inode: 1, isDirectory: true, permissions: 0o755)
    var nextInode: UInt64 = 2
    /// Handles look like no descriptor the process has, so that a call that bypasses the disk fails.
    var nextHandle: Int32 = 1 << 28
    var handles: [Int32: OpenFile] = [:]
    /// Changes of names that are not durable yet, oldest first.
    var pendingNames: [NameChange] = []
    /// Counts every change, so that changes of different files have an order.
    var order = 0
    var faults = Faults()

    struct OpenFile {
      let node: SimulatedNode
      let path: String
      let mayWrite: Bool
    }

    struct Faults {
      /// Changing calls until the power goes.
      var changesUntilPowerCut: Int?
      var isOff = false
      var syncsBeforeFailing = 0
      var failingSyncs = 0
      var capacity: UInt64?
      var unreadable: [(inode: UInt64, range: Range<Int>)] = []
      /// How many opens of names with this ending fail.
      var failingOpens = (ending: "", count: 0)
      /// How many writes to files with this ending of their name fail.
      var failingWrites = (ending: "", count: 0)
    }
  }
}

extension SimulatedDisk {
  /// How many calls have changed or synced something so far: what `cutPower(after:)` counts.
  public var changes: Int { state.withLock { $0.order } }

  /// Lets the power go in the middle of the changing call (write, sync, rename, …) that follows
  /// `calls` more of them: it and every later call fail with EIO until `crash`.
  public func cutPower(after calls: Int) {
    state.withLock { $0.faults.changesUntilPowerCut = calls }
  }

  /// Lets the power go now: every call fails with EIO until `crash`.
  public func cutPower() { state.withLock { $0.faults.isOff = true } }

  /// Whether the power is gone.
  public var isOff: Bool { state.withLock { $0.faults.isOff } }

  /// Makes `count` syncs of files or directories fail with EIO, once `after` more have succeeded.
  public func failSyncs(_ count: Int = 1, after: Int = 0) {
    state.withLock { ($0.faults.failingSyncs, $0.faults.syncsBeforeFailing) = (count, after) }
  }

  /// Limits the room of all files together to so many bytes; nil takes the limit away.
  public func setCapacity(_ bytes: UInt64?) { state.withLock { $0.faults.capacity = bytes } }

  /// Makes reads that touch `range` of a file fail with EIO, also after a crash.
  public func failReads(of path: String, in range: Range<Int>) throws(IOError) {
    try state.withLock { (state) throws(IOError) in
      let node = try state.find(path, for: "break")
      state.faults.unreadable.append((node.inode, range))
    }
  }

  /// Makes the next `count` opens for reading of names that end so fail with EMFILE.
  public func failOpens(of ending: String, _ count: Int = 1) {
    state.withLock { $0.faults.failingOpens = (ending, count) }
  }

  /// Makes the next `count` writes to files whose names end so fail with EIO, of which nothing is written.
  public func failWrites(of ending: String, _ count: Int = 1) {
    state.withLock { $0.faults.failingWrites = (ending, count) }
  }

  /// Makes everything readable again.
  public func healReads() { state.withLock { $0.faults.unreadable = [] } }

  /// Inverts one bit of a file, where it is stored and where it is cached.
  public func flipBit(_ bit: Int, of offset: Int, in path: String) throws(IOError) {
    try state.withLock { (state) throws(IOError) in
      let node = try state.find(path, for: "flip a bit of")
      guard offset < node.cached.size else { throw IOError("flip a bit of", path, code: EINVAL) }
      if !node.cached.flip(bit: bit, of: offset) {
        // The byte lies in a hole, which has no bit to flip until it takes room.
        node.cached.write([1 << UInt8(bit)], at: offset)
        node.durable.write([1 << UInt8(bit)], at: offset)
      } else {
        _ = node.durable.flip(bit: bit, of: offset)
      }
    }
  }

  /// Forgets clean cached bytes: what a failed sync dropped is now gone for readers too.
  public func dropCaches() {
    state.withLock { state in
      for node in state.allNodes where node.hasLostChanges {
        node.cached = node.durable
        for change in node.pending { change.apply(to: &node.cached) }
        node.hasLostChanges = false
      }
    }
  }

  /// All files and directories with their paths as users see them, parents first.
  public var tree: [(path: String, isDirectory: Bool)] {
    state.withLock { state in
      var found: [(String, Bool)] = []
      func visit(_ directory: SimulatedNode, _ prefix: String) {
        for (name, node) in directory.names.sorted(by: { $0.key < $1.key }) {
          found.append((prefix + name, node.isDirectory))
          if node.isDirectory { visit(node, prefix + name + "/") }
        }
      }
      visit(state.root, "/")
      return found
    }
  }
}

extension SimulatedDisk.State {
  /// Every node that a name or a handle leads to, by inode.
  var allNodes: [SimulatedNode] {
    var found: [UInt64: SimulatedNode] = [:]
    func visit(_ node: SimulatedNode) {
      guard found.updateValue(node, forKey: node.inode) == nil else { return }
      for next in node.names.values { visit(next) }
      for next in node.durableNames.values { visit(next) }
    }
    visit(root)
    for file in handles.values { visit(file.node) }
    for change in pendingNames { visit(change.node) }
    return found.values.sorted { $0.inode < $1.inode }
  }

  /// The node a path leads to.
  func find(_ path: String, for operation: String) throws(IOError) -> SimulatedNode {
    var node = root
    for name in Self.components(path) {
      guard node.isDirectory else { throw IOError(operation, path, code: ENOTDIR) }
      guard let next = node.names[name] else { throw IOError(operation, path, code: ENOENT) }
      node = next
    }
    return node
  }

  /// The directory a path lies in, which must exist, and the last name of the path.
  func place(
    _ path: String, for operation: String
  ) throws(IOError) -> (directory: SimulatedNode, name: String) {
    var names = Self.components(path)
    guard let name = names.popLast() else { throw IOError(operation, path, code: EBUSY) }
    let directory = try find("/" + names.joined(separator: "/"), for: operation)
    guard directory.isDirectory else { throw IOError(operation, path, code: ENOTDIR) }
    return (directory, name)
  }

  static func components(_ path: String) -> [String] {
    path.split(separator: "/").map(String.init).filter { $0 != "." }
  }

  func file(_ handle: Int32, for operation: String) throws(IOError) -> OpenFile {
    try checkPower(operation, "handle \(handle)")
    guard let file = handles[handle] else {
      throw IOError(operation, "handle \(handle)", code: EBADF)
    }
    return file
  }

  func checkPower(_ operation: String, _ path: String) throws(IOError) {
    guard !faults.isOff else { throw IOError(operation, path, code: EIO) }
  }

  /// Counts a changing call; true if the power goes while it runs.
  mutating func startChange(_ operation: String, _ path: String) throws(IOError) -> Bool {
    try checkPower(operation, path)
    order += 1
    guard let left = faults.changesUntilPowerCut else { return false }
    faults.changesUntilPowerCut = left - 1
    faults.isOff = left <= 0
    return faults.isOff
  }

  /// Bytes that files may still take.
  var room: Int {
    guard let capacity = faults.capacity else { return .max }
    return max(0, Int(capacity) - allNodes.reduce(0) { $0 + $1.cached.allocated })
  }

  mutating func makeNode(isDirectory: Bool, permissions: UInt32) -> SimulatedNode {
    defer { nextInode += 1 }
    return SimulatedNode(inode: nextInode, isDirectory: isDirectory, permissions: permissions)
  }

  /// Moments that rise with every change, the same in every run of a seed.
  var now: Int64 { 1_795_170_000_000_000_000 + Int64(order) * 1_000_000 }
}
