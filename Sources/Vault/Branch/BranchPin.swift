public import Bytes

/// What a branch is for.
public enum BranchPurpose: UInt8, Sendable, CaseIterable {
  /// A test failover: removed when the drill is cleaned up.
  case drill = 1
  /// The disks of a machine that was failed over.
  case failover = 2

  /// The word a person reads.
  public var name: String { String(describing: self) }
}

/// A machine's promise to a branch that the cut it stands on stays readable.
///
/// It lies in the machine's MANIFEST from before the branch is made until after it is gone, and holds
/// whatever becomes of the recovery point: points can be removed, a pinned cut can't. Whoever folds or
/// retires parts of the log has to keep, for every pin that is not flat, each record that a reader of that cut sees.
public struct BranchPin: Hashable, Sendable {
  /// The branch.
  public let branch: Identifier
  /// The cut it stands on.
  public let cut: SequenceNumber
  /// What it is for.
  public let purpose: BranchPurpose
  /// Whether the failover was committed: the points before it are gone, and the branch is what is left.
  public internal(set) var isCommitted: Bool
  /// Whether the log has lost the end that holds the cut, so that the branch can't be read any more.
  public internal(set) var isLost = false
  /// Whether the branch is plain files and needs nothing of the log any more: the pin holds no record.
  public internal(set) var isFlat = false

  /// A pin of the cut that `branch` is to stand on, not committed.
  public init(branch: Identifier, cut: SequenceNumber, purpose: BranchPurpose) {
    self.init(branch: branch, cut: cut, purpose: purpose, isCommitted: false)
  }

  init(branch: Identifier, cut: SequenceNumber, purpose: BranchPurpose, isCommitted: Bool) {
    (self.branch, self.cut, self.purpose) = (branch, cut, purpose)
    self.isCommitted = isCommitted
  }

  func encode(into writer: inout ByteWriter) {
    writer.identifier(branch)
    writer.integer(cut.rawValue)
    writer.integer(UInt32(purpose.rawValue))
    writer.integer(UInt32((isCommitted ? 1 : 0) | (isLost ? 2 : 0) | (isFlat ? 4 : 0)))
  }

  init(from reader: inout ByteReader) throws(ByteReader.ShortInput) {
    branch = try reader.identifier()
    cut = SequenceNumber(rawValue: try reader.integer())
    let purpose = UInt8(exactly: try reader.integer(UInt32.self))
    guard let purpose = purpose.flatMap(BranchPurpose.init) else { throw ByteReader.ShortInput() }
    self.purpose = purpose
    let flags = try reader.integer(UInt32.self)
    (isCommitted, isLost, isFlat) = (flags & 1 != 0, flags & 2 != 0, flags & 4 != 0)
  }
}
