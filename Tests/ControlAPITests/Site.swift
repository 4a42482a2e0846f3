import Bytes
import Capture
import Catalog
import Codecs
import FileIO
import Foundation
import Logging
import Operations
import Support
import Testing
import Vault

@testable import ControlAPI

/// A vault in service, with a machine that has a point, behind a socket and HTTPS, and a token of
/// each role.
final class Site {
  let directory: TemporaryDirectory
  let service: VaultService
  let control: Control
  let server: ControlServer
  let port: Int
  let authority: String
  let socketPath: String
  private(set) var tokens: [AccessRole: String] = [:]

  static let machine = "web01"

  init(_ purpose: String = "api", limits: ServerLimits = ServerLimits()) throws {
    directory = try TemporaryDirectory(purpose)
    let vault = try Vault.create(at: directory.file("vault"), name: "site", codec: .zstd)
    service = try VaultService(vault)
    control = Control(service, version: "1.2.3")
    var logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    logger.logLevel = .critical
    server = ControlServer(control, limits: limits, logger: logger)
    socketPath = directory.file("run/api.sock")
    try server.listen(on: .socket(path: socketPath, group: nil))
    authority = try Self.certificate(in: directory)
    let key = try String(contentsOfFile: directory.file("key.pem"), encoding: .utf8)
    port = try server.listen(
      on: .https(host: "127.0.0.1", port: 0, certificate: authority, key: key))
    control.listeners = [socketPath, "https://127.0.0.1:\(port)"]
    try addMachine(Self.machine)
    for role in AccessRole.allCases {
      let made = try local().makeToken(
        NewTokenDocument(name: role.rawValue, role: role, validSeconds: 3600))
      tokens[role] = made.token
    }
  }

  deinit {
    server.stop()
    _ = service.close()
  }

  /// Makes a key and a certificate of this host that signs itself.
  static func certificate(in directory: TemporaryDirectory) throws -> String {
    try Program.require(
      "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
      "-keyout", directory.file("key.pem"), "-out", directory.file("certificate.pem"), "-days",
      "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost")
    return try String(contentsOfFile: directory.file("certificate.pem"), encoding: .utf8)
  }

  func addMachine(_ name: String) throws {
    let path = directory.file("\(name).img")
    try File(path, .creating(permissions: 0o600)).truncate(to: 1 << 20)
    _ = try local().add(
      AddMachine(
        name: name, operatingSystem: .linux, disks: [path], capture: .scan, format: nil))
  }

  /// The API without a network.
  func local() -> ControlClient { ControlClient(DirectTransport(control)) }

  func overSocket() throws -> NetworkTransport { try NetworkTransport(to: .socket(socketPath)) }

  func overHTTPS(_ token: String?) throws -> NetworkTransport {
    try NetworkTransport(
      to: .https(host: "127.0.0.1", port: port, authority: authority), token: token)
  }

  /// Waits until a job has ended.
  func end(of job: JobDocument) throws -> JobDocument {
    let isOver = try Program.poll(seconds: 30) { try local().job(job.id).state.isFinal }
    try #require(isOver, "job \(job.id) did not end")
    return try local().job(job.id)
  }
}

/// Bytes on a connection, with nobody in between who knows HTTP.
final class RawConnection {
  private let descriptor: Int32

  /// Connects to a port of this host.
  init(port: Int) throws {
    descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(port).bigEndian
    address.sin_addr.s_addr = inet_addr("127.0.0.1")
    let size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let result = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, size) }
    }
    guard result == 0 else { throw IOError("connect to", "\(port)", code: errno) }
  }

  /// Connects to a socket.
  init(path: String) throws {
    descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    let size = socklen_t(MemoryLayout<sockaddr_un>.size)
    let result = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, size) }
    }
    guard result == 0 else { throw IOError("connect to", path, code: errno) }
  }

  deinit { close(descriptor) }

  /// Sends what it can; false if the peer is gone.
  @discardableResult
  func send(_ bytes: [UInt8]) -> Bool {
    Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count
  }

  @discardableResult
  func send(_ text: String) -> Bool { send(Array(text.utf8)) }

  /// Everything until the peer closes, at most for `seconds`; nil if it did not close.
  func readToEnd(seconds: Int) -> String? {
    var limit = timeval(tv_sec: seconds, tv_usec: 0)
    setsockopt(
      descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    var all: [UInt8] = []
    var part = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = recv(descriptor, &part, part.count, 0)
      // A peer that closed while something was still on its way resets.
      if count == 0 || (count < 0 && errno == ECONNRESET) {
        return String(decoding: all, as: UTF8.self)
      }
      guard count > 0 else { return nil }
      all += part[..<count]
    }
  }
}
