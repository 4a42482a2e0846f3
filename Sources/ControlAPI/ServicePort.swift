/// A port of the network that a service uses. `Ports` lists them for whoever sets a firewall.
public struct ServicePort: Hashable, Sendable {
  /// Which way connections are made.
  public enum Direction: String, Sendable {
    /// Others connect to the service.
    case inbound = "in"
    /// The service connects to others.
    case outbound = "out"
  }

  /// The number, unless another is set, and the transport: `8443/tcp`.
  public let name: String
  /// Which way connections are made.
  public let direction: Direction
  /// What for.
  public let purpose: String

  /// Every port there is.
  public static let all = [
    ServicePort(
      name: "\(ListenAddress.usualPort)/tcp", direction: .inbound,
      purpose: "the control API over HTTPS; none with --https-port none"),
    ServicePort(
      name: "9443/tcp", direction: .inbound,
      purpose: "replication from agents over TLS 1.3; none with --replication-port none"),
    ServicePort(
      name: "\(TimeSource.usualPort)/udp", direction: .outbound,
      purpose: "the time source that the host check asks; none with --time-source none"),
  ]
}
