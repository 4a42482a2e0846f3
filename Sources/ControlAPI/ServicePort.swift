internal import Replication

/// A port of the network that Tidemark uses. `Ports` lists them for whoever sets a firewall.
public struct ServicePort: Hashable, Sendable {
  /// Whose port it is.
  public enum Place: String, Sendable {
    /// The vault's service.
    case service
    /// A stand-alone process server.
    case relay
    /// A protected machine.
    case agent
  }

  /// Which way connections are made.
  public enum Direction: String, Sendable {
    /// Others connect to it.
    case inbound = "in"
    /// It connects to others.
    case outbound = "out"
  }

  /// Whose it is.
  public let place: Place
  /// The number, unless another is set, and the transport: `8443/tcp`; or `socket` for one of the file
  /// system.
  public let name: String
  /// Which way connections are made.
  public let direction: Direction
  /// What for.
  public let purpose: String

  private static let control = "\(ListenAddress.usualPort)/tcp"
  private static let replication = "\(Frame.usualPort)/tcp"
  private static let time = "\(TimeSource.usualPort)/udp"

  /// Every port there is.
  public static let all = [
    ServicePort(
      place: .service, name: control, direction: .inbound,
      purpose: "the control API over HTTPS, and enrolment; none with --https-port none"),
    ServicePort(
      place: .service, name: replication, direction: .inbound,
      purpose: "replication from agents over TLS 1.3; none with --replication-port none"),
    ServicePort(
      place: .service, name: "socket", direction: .inbound,
      purpose: "the control API for commands on the same host; a file, which --socket names"),
    ServicePort(
      place: .service, name: time, direction: .outbound,
      purpose: "the time source that the host check asks; none with --time-source none"),
    ServicePort(
      place: .relay, name: replication, direction: .inbound,
      purpose: "replication from the agents that are sent to it; --replication-port changes it"),
    ServicePort(
      place: .relay, name: replication, direction: .outbound,
      purpose: "replication to the service, its own load, and renewal of its certificate"),
    ServicePort(
      place: .relay, name: control, direction: .outbound, purpose: "enrolment"),
    ServicePort(
      place: .relay, name: time, direction: .outbound,
      purpose: "the time source that the host check asks; none with --time-source none"),
    ServicePort(
      place: .agent, name: control, direction: .outbound,
      purpose: "enrolment, and the service's clock for the preflight"),
    ServicePort(
      place: .agent, name: replication, direction: .outbound,
      purpose: "replication to the service or its relay, and renewal of the certificate"),
    ServicePort(
      place: .agent, name: time, direction: .outbound,
      purpose: "the time source that the preflight asks; none with --time-source none"),
  ]
}
