internal import ControlAPI

/// Networks, as text.
enum NetworkReport {
  static func text(_ network: NetworkDocument) -> String {
    Words.facts([
      ("Network", network.name), ("Kind", kind(network)), ("Subnet", network.subnet ?? "not known"),
      (
        "Forwarded ports",
        network.forwards.isEmpty
          ? "none" : network.forwards.map(String.init).joined(separator: ", ")
      ),
      ("Used by", users(network)), ("Created", network.created),
    ])
  }

  static func table(_ networks: [NetworkDocument]) -> String {
    guard !networks.isEmpty else {
      return "There is no network: 'tidemark network create isolated --isolated' makes one."
    }
    return Words.table(
      ["NETWORK", "KIND", "SUBNET", "USED BY"],
      networks.map { [$0.name, kind($0), $0.subnet ?? "not known", users($0)] })
  }

  /// Tells what speaks against networks.
  static func warn(of networks: [NetworkDocument]) {
    for network in networks {
      for warning in network.warnings { Console.note("tidemark: \(network.name): \(warning)") }
    }
  }

  private static func kind(_ network: NetworkDocument) -> String {
    network.bridge.map { "\(network.kind) \($0)" } ?? network.kind
  }

  private static func users(_ network: NetworkDocument) -> String {
    network.users.isEmpty ? "nothing" : network.users.joined(separator: ", ")
  }
}
