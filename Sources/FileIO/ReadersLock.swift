internal import Glibc

/// A lock that any number of threads hold together for reading, and one alone for writing; who waits for writing
/// goes before those who come for reading later.
///
/// For what is looked at by every read: a mutex, once threads meet on it, is handed from one to the next by the
/// kernel, which takes longer than the whole read. Not recursive: a thread that reads must not begin to read or
/// write once more.
public final class ReadersLock: Sendable {
  // A lock of POSIX is used by address; it is shared between threads by its nature.
  nonisolated(unsafe) private let lock = UnsafeMutablePointer<pthread_rwlock_t>.allocate(
    capacity: 1)

  /// A lock that nobody holds.
  public init() {
    var attributes = pthread_rwlockattr_t()
    pthread_rwlockattr_init(&attributes)
    pthread_rwlockattr_setkind_np(
      &attributes, Int32(PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP))
    pthread_rwlock_init(lock, &attributes)
    pthread_rwlockattr_destroy(&attributes)
  }

  deinit {
    pthread_rwlock_destroy(lock)
    lock.deallocate()
  }

  /// Waits until nobody writes, and keeps writers off until `end`.
  public func beginReading() { pthread_rwlock_rdlock(lock) }

  /// Waits until nobody else reads or writes, and keeps all others off until `end`.
  public func beginWriting() { pthread_rwlock_wrlock(lock) }

  /// Ends what this thread began.
  public func end() { pthread_rwlock_unlock(lock) }
}
