/// Addresses that a guest gives itself: in the files of ifupdown, systemd-networkd, netplan, NetworkManager and
/// Red Hat's older scripts.
struct StaticAddresses {
  private static let (fileLimit, listLimit) = (64, 64)
  let root: ExtFileSystem

  private static let places: [(directory: String, suffix: String, kind: Kind)] = [
    ("/etc/network/interfaces.d", "", .interfaces), ("/etc/systemd/network", ".network", .networkd),
    ("/etc/netplan", ".yaml", .netplan), ("/etc/netplan", ".yml", .netplan),
    ("/etc/NetworkManager/system-connections", ".nmconnection", .manager),
    ("/etc/sysconfig/network-scripts", "", .scripts),
  ]

  private enum Kind { case interfaces, networkd, netplan, manager, scripts }

  func found() -> Fact<[GuestFacts.StaticAddress]> {
    do throws(Unreadable) {
      var seen: [String] = []
      var all: [GuestFacts.StaticAddress] = []
      for (path, kind) in try files() {
        guard let lines = try root.lines(path) else { continue }
        seen.append(path)
        for text in Self.addresses(lines, kind) {
          all.append(GuestFacts.StaticAddress(address: text, source: path))
        }
      }
      guard !seen.isEmpty else {
        return .notChecked("No configuration of the network was found that can be read.")
      }
      return .known(
        Array(all.prefix(Self.listLimit)), source: seen.prefix(8).joined(separator: ", "))
    } catch { return .notChecked(GuestSystem.reason(error)) }
  }

  private func files() throws(Unreadable) -> [(String, Kind)] {
    var found: [(String, Kind)] = [("/etc/network/interfaces", .interfaces)]
    for (directory, suffix, kind) in Self.places {
      for name in try root.names(directory) ?? [] where name.hasSuffix(suffix) {
        if kind == .scripts, !name.hasPrefix("ifcfg-") || name == "ifcfg-lo" { continue }
        found.append(("\(directory)/\(name)", kind))
      }
    }
    return Array(found.prefix(Self.fileLimit))
  }

  private static func addresses(_ lines: [Substring], _ kind: Kind) -> [String] {
    var found: [String] = []
    for line in lines {
      let words = line.split { $0.isWhitespace || "=,\"'[]".contains($0) }
      guard let first = words.first else { continue }
      switch kind {
      case .interfaces where first == "address": found += words.dropFirst().prefix(1).map(plain)
      case .networkd where first == "Address": found += words.dropFirst().prefix(1).map(plain)
      // Only what has a prefix is an adapter's: name servers are written without.
      case .netplan: found += words.filter { $0.contains("/") }.map(plain)
      case .manager where first.hasPrefix("address"):
        found += words.dropFirst().prefix(1).map(plain)
      case .scripts where first.hasPrefix("IPADDR"): found += words.dropFirst().prefix(1).map(plain)
      default: break
      }
    }
    return found.filter(isAddress)
  }

  /// Without the length of the prefix.
  private static func plain(_ word: Substring) -> String { String(word.prefix { $0 != "/" }) }

  private static func isAddress(_ text: String) -> Bool {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    return parts.count == 4 && parts.allSatisfy { UInt8($0) != nil } && !text.hasPrefix("127.")
  }
}
