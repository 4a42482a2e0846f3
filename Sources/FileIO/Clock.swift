public import Bytes
internal import Glibc

extension Timestamp {
  /// This moment by the machine's clock (clock_gettime(2), CLOCK_REALTIME), which can be stepped.
  public static func now() -> Timestamp {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Timestamp(rawValue: Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec))
  }
}
