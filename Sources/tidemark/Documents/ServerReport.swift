internal import ControlAPI

/// Process servers, as text.
enum ServerReport {
  static func table(_ servers: [ServerDocument]) -> String {
    Words.table(
      [
        "SERVER", "TYPE", "VERSION", "ADDRESS", "LAST CONTACT", "MACHINES", "CPU", "MEMORY",
        "CACHE FREE", "PENDING", "HEALTH",
      ],
      servers.map { server in
        [
          server.name, server.type, server.version, address(server), server.lastContact ?? "never",
          "\(server.machines.count)", percent(server.load?.processorPercent),
          percent(server.load?.memoryPercent), cache(server.load),
          server.load.map(pending) ?? "-", server.health,
        ]
      })
  }

  static func text(_ server: ServerDocument) -> String {
    var facts = [
      ("Server", "\(server.name), \(server.type)"), ("Version", server.version),
      ("Address", address(server)), ("Last contact", server.lastContact ?? "never"),
      ("Machines", server.machines.isEmpty ? "none" : server.machines.joined(separator: ", ")),
    ]
    if let load = server.load {
      facts += [
        ("Connected", "\(load.connected)"), ("CPU", percent(load.processorPercent)),
        ("Memory", percent(load.memoryPercent)),
        ("Cache free", "\(Words.size(load.cacheFree)) of \(Words.size(load.cacheSize))"),
        ("Pending", pending(load)),
      ]
    }
    facts.append(("Health", server.health))
    for alarm in server.alarms { facts.append((alarm.severity.capitalizedFirst, alarm.message)) }
    return Words.facts(facts)
  }

  private static func address(_ server: ServerDocument) -> String {
    guard server.port > 0 else { return "-" }
    return server.addresses.first.map { "\($0):\(server.port)" } ?? "port \(server.port)"
  }

  private static func percent(_ value: Double?) -> String {
    value.map { "\(Int($0.rounded())) %" } ?? "-"
  }

  private static func cache(_ load: ServerDocument.Load?) -> String {
    guard let load, load.cacheSize > 0 else { return "-" }
    return percent(Double(load.cacheFree) / Double(load.cacheSize) * 100)
  }

  private static func pending(_ load: ServerDocument.Load) -> String {
    load.pendingBytes == 0
      ? "none"
      : "\(Words.size(load.pendingBytes)), \(Words.time(seconds: Int64(load.pendingSeconds)))"
  }
}

extension String {
  /// The text with its first letter in upper case.
  fileprivate var capitalizedFirst: String { prefix(1).uppercased() + dropFirst() }
}
