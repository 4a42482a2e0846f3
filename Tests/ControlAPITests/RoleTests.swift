import Bytes
import Catalog
import FileIO
import Foundation
import Operations
import Support
import Testing

@testable import ControlAPI

/// Goal: nobody does over the network what their token's role does not allow. Method: every path with
/// every role and with none, over HTTPS.
@Suite struct RoleTests {
  @Test("every path is refused without a token and to a lesser role, and open to the others")
  func everyPathAndRole() throws {
    let (specification, site) = (try Specification(), try Site("roles"))
    let callers: [(role: AccessRole?, token: String?)] =
      [(nil, nil)] + AccessRole.allCases.map { ($0, site.tokens[$0]) }
    for (role, token) in callers {
      let transport = try site.overHTTPS(token)
      for operation in specification.operations {
        // Nothing answers to these names, so that nothing is changed by whoever gets through.
        let target = operation.path.replacing("{name}", with: "no-such")
          .replacing("{point}", with: "latest").replacing("{id}", with: "999")
        let status = try transport.send(operation.method, target, []).status
        let needed = AccessRole(rawValue: operation.role)
        let expected: [Int] =
          switch (needed, role) {
          case (nil, _): []
          case (.some, nil): [401]
          case (let needed?, let role?): role < needed ? [403] : []
          }
        let place = "\(operation.id) as \(role?.rawValue ?? "nobody")"
        if expected.isEmpty {
          #expect(status != 401 && status != 403, "\(place)")
        } else {
          #expect(expected.contains(status), "\(place): \(status)")
        }
      }
    }
  }

  @Test("a token that is changed, expired or revoked is no token")
  func badTokens() throws {
    let site = try Site("tokens")
    let good = try #require(site.tokens[.reader])
    func status(_ token: String?) throws -> Int {
      try site.overHTTPS(token).send("GET", "/v1/service", []).status
    }
    #expect(try status(good) == 200)
    let last = good.last == "0" ? "1" : "0"
    let bad = [
      "", "x", String(good.dropLast()), good + "0", String(good.dropLast()) + last,
      good.uppercased(), good.replacing("_", with: "-"), String(repeating: "a", count: 4000),
    ]
    for token in bad { #expect(try status(token) == 401, "\(token)") }
    let short = try site.local().makeToken(
      NewTokenDocument(name: "short", role: .reader, validSeconds: 1))
    #expect(Program.poll(seconds: 5) { (try? status(short.token)) == 401 })
    try site.local().revokeToken(named: "reader")
    #expect(try status(good) == 401)
  }

  @Test("the catalog holds nothing that would let its reader in")
  func digests() throws {
    let site = try Site("digests")
    let token = try #require(site.tokens[.administrator])
    let secret = try #require(token.split(separator: "_").last)
    for record in try site.service.tokens() { #expect(!record.digest.contains(secret)) }
    let bytes = try FileSystem.system.readFile(site.service.catalog.path, limit: 1 << 24)
    #expect(!String(decoding: bytes, as: UTF8.self).contains(secret))
  }

  @Test("the socket needs no token, and its file lets in nobody but its owner and the group")
  func socket() throws {
    let site = try Site("socket")
    #expect(try site.overSocket().isReachable())
    #expect(try site.overSocket().send("GET", "/v1/tokens", []).status == 200)
    #expect(try FileSystem.system.status(site.socketPath).permissions == 0o600)
    let parent = FileSystem.parent(of: site.socketPath)
    #expect(try FileSystem.system.status(parent).permissions == 0o700)
    let shared = site.directory.file("shared/api.sock")
    try site.server.listen(on: .socket(path: shared, group: UInt32(getgid())))
    #expect(try FileSystem.system.status(shared).permissions == 0o660)
    #expect(try FileSystem.system.status(site.directory.file("shared")).permissions == 0o750)
    site.server.stop()
    #expect(!FileSystem.system.exists(shared) && !FileSystem.system.exists(site.socketPath))
    #expect(try !site.overSocket().isReachable())
  }

  @Test("a socket that is in use, or whose path is too long, is refused")
  func badSockets() throws {
    let site = try Site("bad-sockets")
    let long = site.directory.file(String(repeating: "a", count: 120))
    for path in [long, site.socketPath] {
      let failure = #expect(throws: OperationError.self) {
        try site.server.listen(on: .socket(path: path, group: nil))
      }
      #expect(failure?.code == .refused, "\(path)")
    }
    #expect(try site.overSocket().isReachable())
  }
}
