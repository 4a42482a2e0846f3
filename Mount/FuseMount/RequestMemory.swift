internal import CFuse
internal import Glibc

/// Memory that requests are read into, and which is there whenever the kernel looks.
///
/// A thread that is killed while the kernel copies a request into a page that is not there can't get the page
/// any more, and the kernel fails the request (EIO) instead of keeping it for a successor (fuse_dev_do_read).
/// So each page is touched at once, and locked as far as this user may; it is not made part of a huge page, and
/// it is shared memory, which the kernel does not take away early from a process that it kills for want of
/// memory. A read's answer needs none of this: its bytes were written a moment before.
struct RequestMemory {
  let base: UnsafeMutableRawPointer
  private let count: Int

  /// So many bytes, zeros; nil if there is no memory.
  init?(_ count: Int) {
    let flags = MAP_SHARED | Int32(MAP_ANONYMOUS)
    guard let place = mmap(nil, count, PROT_READ | PROT_WRITE, flags, -1, 0), place != MAP_FAILED
    else { return nil }
    (base, self.count) = (place, count)
    madvise(place, count, MADV_NOHUGEPAGE)
    memset(place, 0, count)
    mlock(place, count)
  }

  /// Gives the memory back.
  func free() { munmap(base, count) }
}
