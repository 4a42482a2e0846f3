internal import Glibc

/// Memory that a thread keeps from request to request, so that reading allocates nothing.
enum ThreadBuffer {
  /// Starts of pages, so that the kernel copies from whole ones.
  private static let alignment = 4096
  private static let usualSize = KernelMount.readSizeLimit

  private static let key: pthread_key_t = {
    var key = pthread_key_t()
    let code = pthread_key_create(&key) { free($0) }
    guard code == 0 else { fatalError("no thread-specific memory: \(MountError.reason(code))") }
    return key
  }()

  /// The calling thread's memory for a request of `count` bytes, with anything in it.
  ///
  /// It stays the same until the thread ends; longer requests than the kernel makes trap.
  static func take(_ count: Int) -> UnsafeMutableRawBufferPointer {
    precondition(count <= usualSize)
    if let memory = pthread_getspecific(key) {
      return UnsafeMutableRawBufferPointer(start: memory, count: count)
    }
    guard let memory = aligned_alloc(alignment, usualSize) else {
      fatalError("no memory for a buffer of \(usualSize) bytes")
    }
    pthread_setspecific(key, memory)
    return UnsafeMutableRawBufferPointer(start: memory, count: count)
  }
}
