internal import Glibc

/// A network namespace joined with this machine by a cable of its own: what runs in it sees no other
/// network, not even this machine's loopback. Needs root; ends with the value.
public final class NetworkNamespace: Sendable {
  /// This machine's address on the cable; a `FaultyLink` listens on it.
  public let near: String
  /// The namespace's own address.
  public let far: String
  private let name: String
  private let cable: String

  /// Makes a namespace.
  ///
  /// - Throws: `ProgramFailure` where the machine does not allow that.
  public init() throws {
    // Of the block that RFC 2544 keeps for tests; each namespace takes four addresses.
    let place = Int.random(in: 0..<1 << 15) * 4
    func address(_ host: Int) -> String {
      "198.\(18 + (place + host) >> 16).\((place + host) >> 8 & 255).\((place + host) & 255)"
    }
    (near, far) = (address(1), address(2))
    (name, cable) = ("tidemark-\(place)", "tidemark\(place)")
    try Program.require("ip", "netns", "add", name)
    do {
      try Program.require(
        "ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", name)
      try Program.require("ip", "address", "add", "\(near)/30", "dev", cable)
      try Program.require("ip", "link", "set", cable, "up")
      try Program.require("ip", "-n", name, "address", "add", "\(far)/30", "dev", "eth0")
      try Program.require("ip", "-n", name, "link", "set", "eth0", "up")
      try Program.require("ip", "-n", name, "link", "set", "lo", "up")
    } catch {
      remove()
      throw error
    }
  }

  deinit { remove() }

  private func remove() {
    _ = try? Program.run("ip", "link", "delete", cable)
    _ = try? Program.run("ip", "netns", "delete", name)
  }

  /// What to run instead of `command` so that it runs in the namespace, in the same process.
  public func inside(_ command: [String]) -> [String] {
    ["nsenter", "--net=/run/netns/\(name)"] + command
  }
}
