/// Reads the disks of a machine and stores what changed: one *cycle*, which ends in a recovery point.
///
/// `CaptureCycle` is the way in. Two modes say how a disk is read (`CaptureMode`):
///
/// - *scan* reads the whole source, holes skipped, and compares it with the replica. It suits what is
///   quiet meanwhile: a stopped machine, a snapshot, a VHD. `SourceWatch` notices what is not.
/// - *reflink* clones an image in use on XFS or btrfs (`CloneStore`), and compares only the stretches
///   that the file system keeps elsewhere than in the clone of the cycle before
///   (`ExtentComparison`).
///
/// Either way the stretches go through one pipeline: `WindowReader` reads ahead on a thread of its
/// own, `BlockComparer` compares page by page with the replica and stores what differs.
public import Bytes
public import Vault

/// What a caller may choose for one cycle.
public struct CaptureOptions: Sendable {
  /// How the recovery point was prepared, by whoever runs the cycle; a hold that quiets says so by itself.
  public var kind: PointKind = .crash
  /// The operator's name for the recovery point.
  public var label: String?
  /// Whether everything is compared with the replica, whatever is known of what changed.
  public var resynchronises = false
  /// Whether a disk may have another size than at the last recovery point.
  public var acceptSize = false
  /// The share of a cloned disk, in percent, that may have changed since the last cycle; more than that
  /// is `.rewritten`. Nil for no limit.
  public var changeLimitPercent: Int?
  /// The share of a file system, in percent, that must be free for clones to be kept on it.
  ///
  /// A clone makes every overwrite of the image need new space, so a full file system would stop the
  /// machine itself.
  public var cloneFloorPercent = CaptureOptions.defaultCloneFloorPercent

  /// The floor unless another is chosen.
  public static let defaultCloneFloorPercent = 10

  /// How long writers are held, where they are.
  public var holdExtent = HoldExtent.clones

  /// The usual choices.
  public init() {}
}

/// How far a cycle has come.
public struct CaptureProgress: Sendable {
  /// The disk being read.
  public var disk: DiskNumber
  /// Bytes compared so far, holes included, over all disks.
  public var examined: UInt64
  /// Bytes to compare in all.
  public var total: UInt64
  /// Bytes of pages found changed and handed to the vault.
  public var changed: UInt64
  /// Time since the cycle began to read.
  public var elapsed: Duration
  /// Time spent waiting for the disks.
  public var reading: Duration
}

/// Why a cycle compared a whole disk where it could have compared less.
public enum WholeComparison: String, Sendable {
  /// The disk is read by scanning.
  case scan
  /// No cycle came before.
  case firstCycle
  /// The clone of the last cycle is gone.
  case cloneLost
  /// An interrupted cycle stored pages from a clone that is gone.
  case interruptedCloneLost
  /// The disk has another size than before.
  case sizeChanged
}

/// What one cycle did to one disk.
public struct DiskCapture: Sendable {
  /// Which disk.
  public var number: DiskNumber
  /// Its size in bytes.
  public var size: UInt64
  /// How it was read.
  public var mode: CaptureMode
  /// Bytes compared, holes included.
  public var examined: UInt64
  /// Bytes of pages that differed.
  public var changed: UInt64
  /// Why all of it was compared; nil if only changed stretches were.
  public var whole: WholeComparison?
  /// How long writes to the image stood still while it was cloned.
  public var cloneTime: Duration?
}

/// What one cycle did.
public struct CaptureResult: Sendable {
  /// The recovery point it made.
  public var point: RecoveryPoint
  /// Disk by disk.
  public var disks: [DiskCapture]
  /// Bytes that were appended to the vault.
  public var stored: UInt64
  /// How long it took.
  public var elapsed: Duration
  /// How long comparing took of the disks that are scanned.
  public var scanTime: Duration
  /// Whether it went on with the clones of an interrupted cycle.
  public var resumed: Bool
  /// What the operator should know, in whole sentences.
  public var advice: [String]
}
