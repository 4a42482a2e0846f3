internal import Synchronization

/// An open directory of the tree.
///
/// Reading from the start takes a new look at the vault; reading on continues in what was seen
/// then, so that every name that was there all the time is listed exactly once.
public final class TreeDirectory: Sendable {
  /// A name in a directory.
  public struct Entry: Sendable {
    /// The name.
    public let name: String
    /// The number of the inode it leads to.
    public let inode: InodeNumber
    /// The kind of the inode.
    public let kind: TreeAttributes.Kind
    let node: Node?

    /// Whether the entry is `.` or `..`, which are not looked up.
    public var isDot: Bool { node == nil }
  }

  private let list: @Sendable () throws(TreeError) -> [Entry]
  private let seen = Mutex<[Entry]?>(nil)

  init(list: @escaping @Sendable () throws(TreeError) -> [Entry]) { self.list = list }

  /// The entries from place `offset`, `.` and `..` first; the slice's indices are their places.
  public func entries(from offset: Int) throws(TreeError) -> ArraySlice<Entry> {
    if offset > 0, let entries = seen.withLock({ $0 }) { return entries.dropFirst(offset) }
    let entries = try list()
    seen.withLock { $0 = entries }
    return entries.dropFirst(offset)
  }
}
