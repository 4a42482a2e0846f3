internal import Capture
internal import FileIO
internal import Glibc
internal import Vault

/// What a machine says of itself.
public enum MachineFacts {
  /// The machine's own name (gethostname(2)).
  public static var hostName: String {
    var buffer = [CChar](repeating: 0, count: 256)
    guard gethostname(&buffer, buffer.count - 1) == 0 else { return "" }
    return text(buffer)
  }

  /// The operating system as it names itself: `PRETTY_NAME` of os-release(5).
  public static var system: String { release(["PRETTY_NAME", "NAME"]) ?? "Linux" }

  /// The operating system's identifier and version, such as `debian` and `12`.
  public static var distribution: (id: String, version: String) {
    (release(["ID"]) ?? "linux", release(["VERSION_ID"]) ?? "")
  }

  /// Every address of every adapter but the loopback (getifaddrs(3)), without zones.
  public static var addresses: [String] {
    var first: UnsafeMutablePointer<ifaddrs>?
    guard getifaddrs(&first) == 0 else { return [] }
    defer { freeifaddrs(first) }
    var found: [String] = []
    var next = first
    while let entry = next?.pointee {
      next = entry.ifa_next
      guard entry.ifa_flags & UInt32(IFF_LOOPBACK) == 0, let address = entry.ifa_addr,
        let text = numeric(address), !found.contains(text)
      else { continue }
      found.append(text)
    }
    return found
  }

  /// A disk's size in bytes; 0 if it can't be told.
  static func size(of disk: DiskConfiguration) -> UInt64 { (try? SourceCheck.size(of: disk)) ?? 0 }

  static func numeric(_ address: UnsafeMutablePointer<sockaddr>) -> String? {
    let size: Int
    switch Int32(address.pointee.sa_family) {
    case AF_INET: size = MemoryLayout<sockaddr_in>.size
    case AF_INET6: size = MemoryLayout<sockaddr_in6>.size
    default: return nil
    }
    var buffer = [CChar](repeating: 0, count: 128)
    guard
      getnameinfo(
        address, socklen_t(size), &buffer, socklen_t(buffer.count), nil, 0, NI_NUMERICHOST) == 0
    else { return nil }
    return text(buffer).split(separator: "%").first.map(String.init)
  }

  private static func text(_ buffer: [CChar]) -> String {
    String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// The value of the first of these fields that /etc/os-release has.
  private static func release(_ fields: [String]) -> String? {
    guard let bytes = try? FileSystem.system.readFile("/etc/os-release", limit: 65536) else {
      return nil
    }
    let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n")
    for field in fields {
      guard let line = lines.first(where: { $0.hasPrefix(field + "=") }) else { continue }
      let value = line.dropFirst(field.count + 1)
      let plain =
        value.count > 1 && "\"'".contains(value.prefix(1))
        ? value.dropFirst().dropLast() : value
      return String(plain)
    }
    return nil
  }
}
