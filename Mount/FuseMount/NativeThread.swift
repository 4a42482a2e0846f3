internal import Glibc

/// A thread of its own, for work that waits in system calls and must not hold one of Swift's tasks up.
struct NativeThread: Sendable {
  private final class Work: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }

  private let thread: pthread_t

  /// Starts the thread.
  init(_ body: @escaping @Sendable () -> Void) {
    let work = Unmanaged.passRetained(Work(body))
    var thread = pthread_t()
    let code = pthread_create(&thread, nil, Self.start, work.toOpaque())
    guard code == 0 else { fatalError("cannot start a thread: \(MountError.reason(code))") }
    self.thread = thread
  }

  private static let start: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? =
    {
      guard let pointer = $0 else { return nil }
      Unmanaged<Work>.fromOpaque(pointer).takeRetainedValue().body()
      return nil
    }

  /// Waits until the body has returned; call it once.
  func join() { pthread_join(thread, nil) }
}
