internal import CFuse
internal import Glibc
internal import RecoveryTree
internal import Synchronization

/// Between libfuse and the tree: decodes a request, calls the tree, replies. Its methods are called
/// from several threads at once.
final class Bridge: Sendable {
  let tree: RecoveryTree
  private let faults: FaultReport
  private let looks = FileLooks.readOnly
  /// Pointers to retained objects that the kernel holds as handles, to be released if it never does.
  private let handles = Mutex<Set<UInt64>>([])

  init(_ tree: RecoveryTree, report: @escaping @Sendable (String) -> Void) {
    self.tree = tree
    faults = FaultReport(report)
  }

  deinit {
    for handle in handles.withLock({ $0 }) { Self.pointer(handle)?.release() }
  }

  /// Answers with the error's errno, and reports it if something is wrong with the vault.
  func fail(_ reply: consuming Reply, _ error: TreeError) {
    reply.status(error.code)
    faults.note(error)
  }

  /// What stat(2) shows.
  func facts(_ attributes: TreeAttributes) -> stat { looks.facts(attributes) }

  func parameters(_ entry: TreeEntry) -> fuse_entry_param { looks.parameters(entry) }
}

// MARK: - Handles

extension Bridge {
  private static func pointer(_ handle: UInt64) -> Unmanaged<AnyObject>? {
    UnsafeRawPointer(bitPattern: UInt(handle)).map { Unmanaged<AnyObject>.fromOpaque($0) }
  }

  /// Retains an object for the kernel.
  func hold(_ object: AnyObject) -> UInt64 {
    let handle = UInt64(UInt(bitPattern: Unmanaged.passRetained(object).toOpaque()))
    handles.withLock { _ = $0.insert(handle) }
    return handle
  }

  /// Gives up what `hold` retained.
  func release(_ handle: UInt64) {
    guard handles.withLock({ $0.remove(handle) }) != nil else { return }
    Self.pointer(handle)?.release()
  }

  /// The object of a handle the kernel holds.
  @inline(__always)
  static func held<Object: AnyObject>(
    _ info: UnsafeMutablePointer<fuse_file_info>?, _ type: Object.Type
  ) -> Object? {
    guard let handle = info?.pointee.fh, let pointer = UnsafeRawPointer(bitPattern: UInt(handle))
    else { return nil }
    return Unmanaged<Object>.fromOpaque(pointer).takeUnretainedValue()
  }
}
