internal import CBytes

/// What the process does with memory that was freed.
public enum FreedMemory {
  /// Keeps up to 256 MiB for what is asked for next, pieces of up to 32 MiB included. No more is kept than was
  /// in use at a time, for which who calls this has limits.
  ///
  /// Else each megabyte that goes out would come from the system as pages that it has to clear, and go back
  /// to it: a first copy of 2 GiB met 200,000 page faults so, and meets 11,000. To be called once, at the
  /// start. Where it is refused nothing changes.
  public static func keep() { _ = tidemark_keep_freed_memory(32 << 20, 256 << 20) }
}
