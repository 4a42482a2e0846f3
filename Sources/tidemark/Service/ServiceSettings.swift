internal import ControlAPI
internal import FileIO
internal import Glibc
internal import Logging
internal import Operations
internal import ReplicationService
internal import Vault

/// What a service or relay is set to.
struct ServiceSettings {
  /// The vault's directory or friendly name; nil for the usual one.
  let vault: String?
  /// The socket's path; nil for the usual one.
  let socket: String?
  let httpsAddress: String
  /// Nil if HTTPS is not served.
  let httpsPort: Int?
  /// The files that HTTPS takes its certificate and key from; nil to take those of the vault's own
  /// authority.
  let https: (certificate: String, key: String)?
  let replicationAddress: String
  /// Nil if agents are not listened for.
  let replicationPort: Int?
  /// Where the mount is served; nil if it is not.
  let mount: String?
  let mountAllowOther: Bool
  let logLevel: Logger.Level
  let logFormat: LogFormat
  /// Whom to ask for the time; nil for nobody.
  let timeSource: TimeSource?
  /// Bytes of groups that a relay's cache may hold.
  let cacheSize: UInt64
  /// The names and addresses that agents are told to reach a relay by; empty for those of this host.
  let advertised: [String]

  /// Reads every setting.
  ///
  /// - Throws: `.refused`, naming the setting that is not what it should be.
  init(_ layers: ServiceLayers, for kind: ServiceKind = .service) throws(OperationError) {
    vault = layers.text(.vault)
    socket = layers.text(.socket)
    httpsAddress = layers.text(.httpsAddress) ?? "0.0.0.0"
    httpsPort = try layers.value(
      .httpsPort, or: ListenAddress.usualPort, "'none', or a number from 0 to 65535"
    ) { text in text == "none" ? .some(nil) : UInt16(text).map { .some(Int($0)) } }
    switch (layers.text(.httpsCertificate), layers.text(.httpsKey)) {
    case (let certificate?, let key?): https = (certificate, key)
    case (nil, nil): https = nil
    default:
      throw OperationError(
        .refused, "HTTPS needs both httpsCertificate and httpsKey; only one is set.")
    }
    replicationAddress = layers.text(.replicationAddress) ?? "0.0.0.0"
    replicationPort = try layers.value(
      .replicationPort, or: ListenerSettings.defaultPort,
      kind == .relay
        ? "a number from 0 to 65535, as a relay has to listen"
        : "'none', or a number from 0 to 65535"
    ) { text in
      text == "none" && kind == .service ? .some(nil) : UInt16(text).map { .some(Int($0)) }
    }
    mount = layers.text(.mount)
    mountAllowOther = try layers.value(.mountAllowOther, or: false, "true or false", Bool.init)
    let levels = Logger.Level.allCases.map(\.rawValue).joined(separator: ", ")
    logLevel = try layers.value(
      .logLevel, or: .info, "one of \(levels)", Logger.Level.init(rawValue:))
    logFormat = try layers.value(
      .logFormat, or: .text, "text or json", LogFormat.init(rawValue:))
    timeSource = try layers.value(
      .timeSource, or: TimeSource("pool.ntp.org"),
      "'none', or a host, with :PORT if that is not 123"
    ) { text in text == "none" ? .some(nil) : TimeSource(text).map { .some($0) } }
    cacheSize = try layers.value(
      .cacheSize, or: RelaySettings.usualLimit,
      "a number of bytes, such as 500M or 10G, of 64M at the least"
    ) { text in
      ByteCount(argument: text).map { UInt64($0.bytes) }.flatMap {
        $0 < RelaySettings.leastLimit ? nil : $0
      }
    }
    advertised = try layers.value(
      .advertise, or: [], "names or addresses with commas between them"
    ) { text in
      let names = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
      let isSound = names.count <= RelaySettings.addressLimit && names.allSatisfy(\.isHostLike)
      return isSound ? names : nil
    }
  }

  /// Where the socket is: as set; else in `/run/tidemark` for root and in `tidemark` of
  /// `XDG_RUNTIME_DIR` for others, by the vault's name; without that variable, in the vault.
  func socket(for vault: Vault) throws(OperationError) -> String {
    if let socket { return try absolute(socket) }
    let file = "\(vault.description.name).sock"
    if geteuid() == 0 { return "/run/tidemark/\(file)" }
    if let base = Environment.value("XDG_RUNTIME_DIR"), base.hasPrefix("/") {
      return "\(base)/tidemark/\(file)"
    }
    return try absolute(vault.path) + "/service.sock"
  }
}

extension String {
  /// Whether it can be a name or address of a host: printable, without blanks, and not too long.
  fileprivate var isHostLike: Bool {
    (1...253).contains(utf8.count) && utf8.allSatisfy { (0x21...0x7E).contains($0) && $0 != 0x2F }
  }
}
