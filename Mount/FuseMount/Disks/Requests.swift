internal import Glibc

/// The head of a request as the kernel writes it (struct fuse_in_header of linux/fuse.h).
struct RequestHead {
  let operation: UInt32
  /// The number that its answer names.
  let number: UInt64

  static let size = 40
  static let open: UInt32 = 14
  static let release: UInt32 = 18
  static let initialise: UInt32 = 26
  /// What the kernel adds to the number of a request that it hands out again (FUSE_UNIQUE_RESEND).
  static let resent: UInt64 = 1 << 63

  init?(_ bytes: UnsafeRawBufferPointer) {
    guard bytes.count >= Self.size else { return nil }
    operation = bytes.loadUnaligned(fromByteOffset: 4, as: UInt32.self)
    number = bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
  }
}

/// The bytes of FUSE_INIT: what the kernel can do.
struct InitialRequest: Sendable {
  let bytes: [UInt8]
  /// Longer ones are none.
  static let limit = 1024

  init?(_ bytes: [UInt8]) {
    guard bytes.count <= Self.limit, bytes.count >= RequestHead.size + 16 else { return nil }
    let head = bytes.withUnsafeBytes { RequestHead($0) }
    guard head?.operation == RequestHead.initialise else { return nil }
    self.bytes = bytes
  }

  /// Whether requests in flight can be asked for again, as since Linux 6.9 (FUSE_HAS_RESEND, bit 39 of the
  /// flags, whose upper half is there if bit 30 of the lower one is set).
  var canResend: Bool {
    let flags: (UInt32, UInt32) = bytes.withUnsafeBytes {
      guard $0.count >= RequestHead.size + 20 else { return (0, 0) }
      return (
        $0.loadUnaligned(fromByteOffset: RequestHead.size + 12, as: UInt32.self),
        $0.loadUnaligned(fromByteOffset: RequestHead.size + 16, as: UInt32.self)
      )
    }
    return flags.0 & 1 << 30 != 0 && flags.1 & 1 << 7 != 0
  }
}

/// The number of the request that this thread works on, as far as it matters: opens are known again by it.
enum CurrentRequest {
  private static let key: pthread_key_t = {
    var key = pthread_key_t()
    let code = pthread_key_create(&key, nil)
    guard code == 0 else { fatalError("no thread-specific memory: \(MountError.reason(code))") }
    return key
  }()

  /// Without the mark of one handed out again.
  static var number: UInt64 {
    get { UInt64(UInt(bitPattern: pthread_getspecific(key))) }
    set {
      let number = newValue & ~RequestHead.resent
      pthread_setspecific(key, UnsafeRawPointer(bitPattern: UInt(number)))
    }
  }
}
