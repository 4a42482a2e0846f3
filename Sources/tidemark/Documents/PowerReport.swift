internal import ControlAPI

/// Whether the machine of a drill or a failover runs, as text.
enum PowerReport {
  /// Everything that is known of it.
  static func text(_ power: PowerDocument, of name: String) -> String {
    var facts = [("Machine", name + (power.isTest ? " (test failover)" : ""))]
    facts.append(("Power", words(power)))
    if let process = power.process { facts.append(("Process", "\(process)")) }
    if let started = power.started { facts.append(("Started", started)) }
    facts += power.addresses.map { ("Address", $0) }
    if let directory = power.directory { facts.append(("Disks", directory)) }
    if let serial = power.serialSocket { facts.append(("Serial console", serial)) }
    if let display = power.displaySocket { facts.append(("VNC", display)) }
    if let log = power.consoleLog { facts.append(("Console log", log)) }
    facts += (power.ports ?? []).map { ("Port", words($0)) }
    facts += power.notes.map { ("Note", $0) }
    return Words.facts(facts)
  }

  /// Whether it runs, in some words.
  static func words(_ power: PowerDocument) -> String {
    guard power.provider == "none" else { return power.power }
    if power.diskServer == "silent" { return "not known: the server of its disks does not answer" }
    let users = power.openCount.map { ", open \($0) times" } ?? ""
    if power.power == "on" { return "on: its disks can be written to\(users)" }
    return power.directory == nil ? "off: its disks are not served" : "off: its disks refuse writes"
  }

  /// The forwarded ports, a line each.
  static func ports(_ power: PowerDocument) -> String {
    guard let ports = power.ports, !ports.isEmpty else { return "No ports are forwarded." }
    return ports.map(words).joined(separator: "\n")
  }

  private static func words(_ port: PowerDocument.Port) -> String {
    "127.0.0.1:\(port.host) leads to port \(port.guest) of adapter \(port.adapter)"
  }
}
