internal import FileIO
internal import Glibc
public import Replication

extension MachineFacts {
  /// What this machine is made of.
  public static var hardware: Hardware {
    let (cores, pages) = (sysconf(Int32(_SC_NPROCESSORS_ONLN)), sysconf(Int32(_SC_PHYS_PAGES)))
    let pageSize = sysconf(Int32(_SC_PAGESIZE))
    return Hardware(
      cores: UInt32(clamping: max(0, cores)),
      memory: UInt64(clamping: max(0, pages)) * UInt64(clamping: max(0, pageSize)),
      // Linux has this directory where it was started by UEFI.
      firmware: FileSystem.system.exists("/sys/firmware/efi") ? .uefi : .bios, adapters: adapters)
  }

  /// The Ethernet adapters that are devices, in the order of the machine; where none is, as in a container,
  /// those that look like one (Documentation/ABI/testing/sysfs-class-net).
  private static var adapters: [Hardware.Adapter] {
    let names = ((try? FileSystem.system.list(links)) ?? []).filter { name in
      value("type", of: name) == "1" && value("address", of: name) != "00:00:00:00:00:00"
    }
    let devices = names.filter { FileSystem.system.exists("\(links)/\($0)/device") }
    let chosen =
      devices.isEmpty
      ? names.filter { !FileSystem.system.exists("\(links)/\($0)/bridge") } : devices
    let addresses = addressesOfAdapters
    return chosen.sorted { index(of: $0) < index(of: $1) }.map { name in
      Hardware.Adapter(
        name: name, hardwareAddress: value("address", of: name) ?? "",
        addresses: addresses[name] ?? [])
    }
  }

  private static let links = "/sys/class/net"

  private static func index(of name: String) -> Int {
    value("ifindex", of: name).flatMap { Int($0) } ?? .max
  }

  private static func value(_ file: String, of name: String) -> String? {
    guard let bytes = try? FileSystem.system.readFile("\(links)/\(name)/\(file)", limit: 4096)
    else { return nil }
    return String(decoding: bytes, as: UTF8.self).split(separator: "\n").first.map(String.init)
  }

  /// The addresses of each adapter (getifaddrs(3)).
  private static var addressesOfAdapters: [String: [String]] {
    var first: UnsafeMutablePointer<ifaddrs>?
    guard getifaddrs(&first) == 0 else { return [:] }
    defer { freeifaddrs(first) }
    var found: [String: [String]] = [:]
    var next = first
    while let entry = next?.pointee {
      next = entry.ifa_next
      guard let address = entry.ifa_addr, let text = numeric(address) else { continue }
      found[String(cString: entry.ifa_name), default: []].append(text)
    }
    return found
  }
}
