internal import FileIO

/// A value that many threads read at the same time, and that is changed now and then.
///
/// `@unchecked Sendable`: the value is touched under the lock only, and by readers only to look at it.
final class Shared<Value>: @unchecked Sendable {
  private let lock = ReadersLock()
  private let value = UnsafeMutablePointer<Value>.allocate(capacity: 1)

  init(_ value: Value) { self.value.initialize(to: value) }

  deinit {
    value.deinitialize(count: 1)
    value.deallocate()
  }

  /// Looks at the value beside other readers; `body` must not keep the pointer, nor read or change the value
  /// through here once more.
  @inline(__always)
  func read<Result>(_ body: (UnsafePointer<Value>) -> Result) -> Result {
    lock.beginReading()
    defer { lock.end() }
    return body(UnsafePointer(value))
  }

  /// Changes the value alone.
  @inline(__always)
  func change<Result>(_ body: (inout Value) -> Result) -> Result {
    lock.beginWriting()
    defer { lock.end() }
    return body(&value.pointee)
  }
}
