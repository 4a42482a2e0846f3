internal import FileIO
internal import FoundationEssentials
public import Operations

/// Where a vault's service can be reached: `service.json` in the vault's directory, for as long as
/// the service runs.
///
/// It can be left behind by a service that was killed: whether one answers is found out by asking.
public struct ServiceNotice: Codable, Sendable {
  /// The file's name in a vault's directory.
  public static let fileName = "service.json"

  /// The path of the API's socket.
  public var socket: String
  /// The port of HTTPS; nil if it is not served.
  public var httpsPort: Int?

  /// The port that agents send to; nil if none is listened on.
  public var replicationPort: Int?

  /// The ports it listens on.
  public var ports: [Int] { [httpsPort, replicationPort].compactMap(\.self) }

  /// A service that is reached there.
  public init(socket: String, httpsPort: Int?, replicationPort: Int?) {
    (self.socket, self.httpsPort) = (socket, httpsPort)
    self.replicationPort = replicationPort
  }

  /// Reads the notice in a vault's directory; nil if there is none that can be read.
  public init?(in vault: String) {
    let path = vault + "/" + Self.fileName
    guard let bytes = try? FileSystem.system.readFile(path, limit: 65536),
      let notice = try? JSONDecoder().decode(ServiceNotice.self, from: Data(bytes))
    else { return nil }
    self = notice
  }

  /// Whether a service answers there. Blocks, for a limited time.
  public var isAnswered: Bool {
    (try? NetworkTransport(to: .socket(socket)).isReachable()) ?? false
  }

  /// Leaves the notice. A `group` may read it.
  public func post(in vault: String, group: UInt32?) throws(OperationError) {
    let path = vault + "/" + Self.fileName
    do {
      let permissions: UInt32 = group == nil ? 0o600 : 0o640
      let bytes = try JSON.encode(self)
      try FileSystem.system.replaceFile(path, with: bytes, permissions: permissions)
      if let group { try FileSystem.system.setGroup(path, group) }
    } catch {
      let cause = error as? IOError
      throw OperationError(
        cause.map { $0.isFull || $0.isRefused } == true ? .unwritable : .failed, "\(error)")
    }
  }

  /// Takes the notice away.
  public static func remove(from vault: String) {
    try? FileSystem.system.remove(vault + "/" + fileName)
  }
}
