internal import NIOCore
internal import NIOPosix
public import Operations

/// Whether a service could listen on a TCP port of this host.
public enum PortProbe {
  /// Listens for a moment. Blocks.
  ///
  /// - Returns: what was found of the port.
  public static func finding(host: String, port: Int) -> HostFinding {
    let subject = "port \(port)"
    do {
      let listener = try ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
        .bind(host: host, port: port).wait()
      try listener.close().wait()
      return HostFinding(subject, .ok, "free on \(host)")
    } catch {
      return HostFinding(
        subject, .refused, "can't be used on \(host): \(error)",
        advice: "End what uses it ('ss -ltnp' shows who does), or choose another.")
    }
  }
}
