internal import ControlAPI

/// What machines are to be once they are recovered, as text.
enum TargetReport {
  static func facts(_ target: TargetDocument) -> [(String, String)] {
    func origin(_ field: String) -> String { target.chosen.contains(field) ? "" : " (default)" }
    var facts = [
      ("Target name", target.name + origin("name")),
      ("Cores", "\(target.cores)" + origin("cores")),
      ("Memory", Words.size(target.memoryBytes) + origin("memoryBytes")),
      ("Firmware", target.firmware + origin("firmware")),
    ]
    if let disk = target.systemDisk { facts.append(("OS disk", "\(disk)" + origin("systemDisk"))) }
    if target.diskOrder.count > 1 {
      let order = target.diskOrder.map(String.init).joined(separator: ", ")
      facts.append(("Disk order", order + origin("diskOrder")))
    }
    return facts + target.adapters.map { ("Adapter \($0.number)", words(of: $0)) }
  }

  private static func words(of adapter: TargetDocument.Adapter) -> String {
    var words = adapter.network ?? "no network yet"
    if let subnet = adapter.subnet { words += " \(subnet)" }
    if adapter.network != nil { words += ", \(adapter.address ?? "dhcp")" }
    if let hardware = adapter.hardwareAddress { words += ", \(hardware)" }
    if let name = adapter.sourceName {
      words += ", there \(([name] + adapter.sourceAddresses).joined(separator: " "))"
    }
    return words
  }

  /// What was looked at.
  static func text(_ found: TargetCheckDocument) -> String {
    Words.table(
      ["CHECK", "VERDICT", "FOUND", "WHAT TO DO"],
      found.checks.map { [$0.subject, $0.verdict, $0.found, $0.advice ?? ""] })
  }
}
