internal import Bytes
internal import FileIO
internal import Vault

/// Holds the writers of a machine's disks around the moment of a cut, by whatever means. For one thread.
public protocol WriterHold: AnyObject {
  /// Whether what is in memory, of file systems or applications, is part of what is cut meanwhile.
  var isQuieting: Bool { get }
  /// Whether nothing writes to any of the disks meanwhile.
  var holdsWriters: Bool { get }
  /// Holds the writers; blocks, for a limited time. False if they can't be held: the cycle goes on without.
  func begin() -> Bool
  /// Whether they have been held ever since.
  var isUnbroken: Bool { get }
  /// Lets the writers go. Called once after each `begin` that gave true, whatever happens.
  func end()
}

/// How long writers are held in a cycle.
public enum HoldExtent: Sendable {
  /// While clones are made. Where there is nothing to clone, not at all.
  case clones
  /// Until the disks that are scanned were read, too.
  case scans
}

/// The moment a cycle's cut is of: holds the writers, if the cycle is to, and watches what is scanned.
///
/// Order: writers are held; watches begin; clones are made; scanned disks are read; watches end. Writers
/// are let go after the clones or after the scans.
final class Cut {
  private let hold: (any WriterHold)?
  private let extent: HoldExtent
  private let scanned: [DiskConfiguration]
  private var watches: [SourceWatch] = []
  private var isHeld = false
  /// When the scanned disks began to be watched.
  private(set) var time = Timestamp.now()
  /// Whether writers were held while the clones were made.
  private(set) var hasHeldClones = false
  /// Whether writers were held until the scanned disks had been read.
  private(set) var hasHeldScans = false

  init(_ hold: (any WriterHold)?, _ extent: HoldExtent, scanned: [DiskConfiguration]) {
    (self.hold, self.extent, self.scanned) = (hold, extent, scanned)
  }

  /// Whether writers are to be held while clones are made.
  var holdsClones: Bool { hold != nil }

  /// Whether scanned disks are there, perhaps, only while writers are held.
  var holdsScans: Bool { hold != nil && extent == .scans && !scanned.isEmpty }

  /// Begins the cut. Writers are held only if `holding`.
  func begin(holding: Bool) throws(CaptureError) {
    if holding, let hold { isHeld = hold.begin() }
    for disk in scanned { watches.append(try SourceWatch(disk: disk)) }
    time = .now()
  }

  /// The clones are made.
  func clonesAreMade() {
    hasHeldClones = isHeld && hold?.isUnbroken == true
    if !holdsScans { release() }
  }

  /// The scanned disks were read.
  ///
  /// - Throws: `.sourceChanged` if one has changed since the cut began.
  func scansAreRead() throws(CaptureError) {
    for watch in watches { try watch.check() }
    hasHeldScans = isHeld && hold?.isUnbroken == true
    release()
  }

  /// Lets the writers go, if they are held.
  func release() {
    guard isHeld else { return }
    isHeld = false
    hold?.end()
  }

  /// Whether a change of what was scanned would have been noticed.
  var isWatched: Bool { watches.allSatisfy(\.canTell) }

  /// What the point is, with so many clones, whether made in this cycle or `resumed`.
  func point(clones: Int, resumed: Bool) -> (kind: PointKind, consistency: PointConsistency) {
    // Files that did not change from before the first was read until after the last was are of one
    // moment, and of that of a clone made meanwhile; two clones, or what can't be watched, are not, unless
    // writers were held.
    let isOfHold =
      hold != nil && (clones == 0 || hasHeldClones) && (isWatched || hasHeldScans)
      && (hasHeldClones || hasHeldScans)
    if isOfHold, let hold {
      let isOne = hold.holdsWriters || isOne(clones: clones, resumed: resumed)
      return (hold.isQuieting ? .application : .crash, isOne ? .machine : .perDisk)
    }
    return (.crash, isOne(clones: clones, resumed: resumed) ? .machine : .perDisk)
  }

  private func isOne(clones: Int, resumed: Bool) -> Bool {
    if scanned.count + clones == 1 { return true }
    let moments = clones + watches.count { !$0.canTell }
    return moments <= 1 && isWatched && !(resumed && !watches.isEmpty)
  }
}
