/// The replica of a disk of which the vault holds nothing yet: all of it is zeros.
public final class EmptyReplica: Replica {
  /// Compares with nothing.
  public init() {}

  /// No byte is other than zero.
  public func firstData(in range: Range<UInt64>) -> UInt64? { nil }

  /// The pages that are not zeros.
  public func differing(_ window: Window) -> [UInt16] {
    (0..<Window.blocks).map { window.pages[$0] & window.pagesWithData(of: $0) }
  }
}
