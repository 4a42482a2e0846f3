internal import Bytes
internal import Dispatch
internal import FileIO
internal import Vault

/// The clones one cycle reads: one of every disk that is captured by cloning, made back to back.
struct CloneSet: Sendable {
  /// One disk's clone.
  struct Clone: Sendable {
    var store: CloneStore
    var name: CloneName
    /// The clone of the last cycle; nil if there is none to compare with.
    var base: CloneName?
    /// Why there is no base.
    var whole: WholeComparison?
    /// How long making it took; nil if it is from an interrupted cycle.
    var duration: Duration?
  }

  /// The clones, by disk number.
  private(set) var clones: [Clone]
  /// The cycle that made them.
  let cycle: UInt64
  /// When the disks were as the clones show them.
  let time: Timestamp
  /// Whether they are of an interrupted cycle.
  let resumed: Bool

  /// Takes up the clones of an interrupted cycle that stored pages already, or makes new ones.
  ///
  /// - Parameters:
  ///   - stores: where the disks' clones lie, by disk number.
  ///   - target: where the cycle stores, which knows of the newest mark and of what was stored since.
  ///   - floorPercent: the share of a file system that must be free.
  ///   - cut: begins right before the first new clone is made, and is told once the last one is.
  /// - Throws: `.notClonable`, `.cloneSpace`, or what failed.
  init(
    _ stores: [CloneStore], for target: any CaptureTarget, floorPercent: Int, cut: Cut
  ) throws(CaptureError) {
    let newest = target.cycle
    let floor = CloneFloor(stores: stores, percent: floorPercent)
    try floor.check()
    if target.hasUnmarkedWrites,
      let found = try Self.interrupted(stores, after: newest ?? 0, before: target.newestNumber)
    {
      (cycle, resumed) = (found, true)
      clones = try Self.describe(stores, found, newest: newest)
      time = try Self.madeAt(clones)
      return
    }
    if target.hasUnmarkedWrites, let newest, try Self.haveBase(stores, newest) {
      // Nothing but these pages differs from the bases: without them, comparing with those is enough.
      try target.abandonUnmarked()
    }
    let lost = try Self.tidy(stores, newest: newest, unmarked: target.hasUnmarkedWrites)
    (cycle, resumed) = (Self.newCycle(), false)
    let maker = CloneMaker(
      stores: stores, cycle: cycle, after: newest ?? 0, number: target.newestNumber)
    let durations: [Duration]
    do throws(CaptureError) { durations = try maker.make(cut) } catch {
      // What is half made is removed by the next cycle if not now; the first failure is the one told.
      for store in stores { try? store.remove([CloneName]()) }
      throw error
    }
    clones = try Self.describe(stores, cycle, newest: newest)
    time = try Self.madeAt(clones)
    for index in clones.indices {
      clones[index].duration = durations[index]
      if lost, clones[index].base == nil { clones[index].whole = .interruptedCloneLost }
    }
  }

  private static func newCycle() -> UInt64 { UInt64.random(in: 1...UInt64.max) }

  /// The cycle of which every disk still has its clone, made since the newest mark and before the log's
  /// newest number: what was stored last is of these clones. Numbers that nothing stored takes, of marks and
  /// of what gives up, are told apart by what follows from them: another newest mark, or nothing unmarked.
  private static func interrupted(
    _ stores: [CloneStore], after: UInt64, before number: SequenceNumber
  ) throws(CaptureError) -> UInt64? {
    var common: Set<UInt64>?
    for store in stores {
      let usable = try store.names().filter {
        $0.after == after && $0.cycle != after && $0.number < number
      }
      let cycles = Set(usable.map(\.cycle))
      common = common?.intersection(cycles) ?? cycles
    }
    guard let common, common.count == 1 else { return nil }
    return common.first
  }

  /// When the last of the clones was made: cloning sets a file's time of change, and nothing else
  /// writes to it.
  private static func madeAt(_ clones: [Clone]) throws(CaptureError) -> Timestamp {
    var latest = Timestamp(rawValue: 0)
    for clone in clones {
      let path = clone.store.path(of: clone.name)
      let status = try clone.store.act { () throws(IOError) in
        try FileSystem.system.status(path)
      }
      latest = max(latest, status.modified)
    }
    return latest
  }

  /// Whether every disk has the clone of the newest mark's cycle.
  private static func haveBase(
    _ stores: [CloneStore], _ newest: UInt64
  ) throws(CaptureError) -> Bool {
    for store in stores where try !store.names().contains(where: { $0.cycle == newest }) {
      return false
    }
    return true
  }

  /// Removes what is of no use, and the bases too where the replica may hold pages of a clone that
  /// is gone: nothing but comparing everything finds those.
  /// - Returns: whether that was so.
  private static func tidy(
    _ stores: [CloneStore], newest: UInt64?, unmarked: Bool
  ) throws(CaptureError) -> Bool {
    for store in stores {
      try store.remove(try store.names().filter { unmarked || $0.cycle != newest })
    }
    return unmarked
  }

  private static func describe(
    _ stores: [CloneStore], _ cycle: UInt64, newest: UInt64?
  ) throws(CaptureError) -> [Clone] {
    var clones: [Clone] = []
    for store in stores {
      let names = try store.names()
      let base = names.first { $0.cycle == newest }
      guard let name = names.first(where: { $0.cycle == cycle }) else {
        throw CaptureError(
          .sourceUnreadable,
          "The clone of disk \(store.disk) in '\(store.directory)' is gone again: somebody else "
            + "removes files there. See who does, and run the command again.")
      }
      let whole: WholeComparison? =
        base != nil ? nil : newest == nil ? .firstCycle : .cloneLost
      clones.append(Clone(store: store, name: name, base: base, whole: whole))
    }
    return clones
  }

  /// Keeps this cycle's clones as the base of the next one and removes all others.
  func settle() throws(CaptureError) {
    for clone in clones {
      try clone.store.remove(try clone.store.names().filter { $0.cycle != cycle })
    }
  }

  /// Removes every clone, so that the next cycle compares everything.
  func drop() throws(CaptureError) {
    for clone in clones { try clone.store.removeAll() }
  }
}

/// Makes the clones of several disks back to back, so that they are as near to one moment as can be.
private struct CloneMaker {
  let stores: [CloneStore]
  let cycle: UInt64
  let after: UInt64
  let number: SequenceNumber

  /// A file in an array.
  private final class Handle {
    let file: File
    init(_ path: String, _ mode: OpenMode) throws(IOError) { file = try File(path, mode) }
  }

  private func path(_ store: CloneStore) -> String {
    store.path(
      of: CloneName(
        machine: store.machine, disk: store.disk, cycle: cycle, after: after, number: number))
  }

  /// Makes them all durable under their names; gives how long each took to clone.
  func make(_ cut: Cut) throws(CaptureError) -> [Duration] {
    var targets: [Handle] = []
    for store in stores {
      try store.makeDirectory()
      let temporary = path(store) + CloneStore.temporarySuffix
      targets.append(
        try store.act { () throws(IOError) in
          try Handle(temporary, .creating(permissions: 0o600))
        })
    }
    let images = try openImages(cut)
    try cut.begin(holding: true)
    var durations: [Duration] = []
    for (index, store) in stores.enumerated() {
      durations.append(try clone(store, images[index], targets[index]))
    }
    cut.clonesAreMade()
    for (store, target) in zip(stores, targets) {
      let path = path(store)
      try store.act { () throws(IOError) in
        try target.file.sync()
        try FileSystem.system.rename(path + CloneStore.temporarySuffix, to: path)
      }
    }
    for store in stores {
      try store.act { () throws(IOError) in try FileSystem.system.syncDirectory(store.directory) }
    }
    return durations
  }

  private func openImages(_ cut: Cut) throws(CaptureError) -> [Handle] {
    var images: [Handle] = []
    for store in stores {
      do throws(IOError) {
        let image = try Handle(store.image, .reading)
        // Cloning writes out what is cached of an image: most of that is done before writers wait for it.
        if cut.holdsClones { try image.file.sync() }
        images.append(image)
      } catch { throw .source(store.disk, store.image, error) }
    }
    return images
  }

  private func clone(
    _ store: CloneStore, _ image: Handle, _ target: Handle
  ) throws(CaptureError) -> Duration {
    do throws(IOError) {
      let clock = ContinuousClock()
      let start = clock.now
      try target.file.clone(from: image.file)
      return clock.now - start
    } catch {
      throw error.isUnsupported
        ? CaptureError(
          .notClonable,
          "Disk \(store.disk), '\(store.image)', cannot be cloned: \(error.reason). "
            + "Its file system keeps no shared blocks (XFS needs reflink=1). Use --capture scan.",
          cause: error)
        : .source(store.disk, store.image, error)
    }
  }
}

/// The share of every image's file system that must stay free while clones are kept there.
struct CloneFloor: Sendable {
  let stores: [CloneStore]
  let percent: Int

  /// The first file system below the floor.
  func breach() throws(CaptureError) -> (store: CloneStore, free: Int)? {
    for store in stores {
      let free = try store.freePercent()
      if free < percent { return (store, free) }
    }
    return nil
  }

  /// - Throws: `.cloneSpace` if a file system is below the floor; all clones are gone then.
  func check() throws(CaptureError) {
    guard let (store, free) = try breach() else { return }
    for store in stores { try store.removeAll() }
    throw CaptureError(
      .cloneSpace,
      "Only \(free) % is free where disk \(store.disk), '\(store.image)', lies; clones are kept "
        + "above \(percent) % only, since each overwrite of a cloned image takes new space. The "
        + "clones were removed: resynchronisation is required. Free some space and run the command "
        + "again, which then compares everything, or lower --clone-floor.")
  }
}
