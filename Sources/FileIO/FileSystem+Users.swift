internal import Glibc

extension FileSystem {
  /// The name of a user of this host (getpwuid_r(3)); the number where it has none.
  public static func userName(_ user: UInt32) -> String {
    var (entry, found) = (passwd(), UnsafeMutablePointer<passwd>?.none)
    var buffer = [CChar](repeating: 0, count: 16_384)
    guard getpwuid_r(user, &entry, &buffer, buffer.count, &found) == 0, found != nil,
      let name = entry.pw_name
    else { return String(user) }
    return String(cString: name)
  }
}
