import Bytes
import Glibc
import Identity
import Replication
import Support
import Testing

@testable import ReplicationService

/// Goal: nobody gets in, or is talked to, who does not belong, and each end learns why. Method: every
/// kind of wrong certificate at both ends; openssl where our own client would not do such a thing.
@Suite(.serialized) struct PeerTests {
  /// What a client that the service will not have gets to hear.
  private func rejection(_ client: Client, _ port: Int) -> TransportError? {
    failure {
      let connection = try client.connect(port)
      try connection.send(Frame(type: 0), within: .seconds(5))
      _ = try connection.receive(within: .seconds(5))
    }
  }

  @Test("a service of another vault is not talked to, and an agent of another vault not heard")
  func otherVault() throws {
    let (bench, other) = (try ServiceBench(), try ServiceBench())
    let service = try bench.service()
    let told = failure { _ = try other.client().connect(service.port) }
    #expect(told?.code == .handshake)
    #expect(
      told?.message.contains("not issued by the authority of vault") == true,
      "\(String(describing: told))"
    )
    #expect(service.recorder.seen.connections.isEmpty)
  }

  @Test(
    "openssl with a certificate of the vault gets in; with another, with none, or with TLS 1.2 not")
  func openssl() throws {
    let (bench, other) = (try ServiceBench(), try ServiceBench())
    let service = try bench.service()
    let directory = try TemporaryDirectory("peers")
    let authority = try write(bench.authority.certificatePEM, directory, "ca.pem")
    func connect(_ credentials: Credentials?, _ version: String) throws -> Program.Result {
      var arguments = [
        "s_client", "-connect", "127.0.0.1:\(service.port)", "-CAfile", authority, version,
        "-verify_return_error", "-ign_eof",
      ]
      if let credentials {
        arguments += [
          "-cert", try write(credentials.certificatePEM, directory, "cert.pem"),
          "-key", try write(credentials.privateKeyPEM, directory, "key.pem"),
        ]
      }
      let program = try Program("openssl", arguments)
      _ = Program.poll(seconds: 1) { !program.isRunning }
      program.killGroup()
      return program.wait(seconds: 5)
    }
    let good = try connect(try bench.credentials(.agent(.random())), "-tls1_3")
    #expect(good.output.contains("Verify return code: 0"), "\(good.report)")
    #expect(service.recorder.hasConnected(1))
    let roles = try other.credentials(.agent(.random()))
    for (credentials, version) in [
      (roles, "-tls1_3"), (nil, "-tls1_3"), (try bench.credentials(.agent(.random())), "-tls1_2"),
      (try bench.credentials(.service), "-tls1_3"),
    ] {
      let result = try connect(credentials, version)
      #expect(
        result.errors.contains("alert") || result.output.contains("alert"), "\(result.report)")
    }
    #expect(service.recorder.seen.connections.count == 1)
    #expect(!service.reports.isEmpty)
  }

  @Test("a resumed TLS session is no way in for an agent that was revoked meanwhile")
  func resumption() throws {
    let bench = try ServiceBench()
    // The ticket for a session goes out with the first bytes of the service.
    let service = try bench.service(recorder: Recorder(greets: true))
    let directory = try TemporaryDirectory("peers")
    let credentials = try bench.credentials(.agent(.random()))
    let session = directory.file("session")
    let common = [
      "s_client", "-connect", "127.0.0.1:\(service.port)", "-tls1_3", "-ign_eof", "-CAfile",
      try write(bench.authority.certificatePEM, directory, "ca.pem"), "-cert",
      try write(credentials.certificatePEM, directory, "cert.pem"), "-key",
      try write(credentials.privateKeyPEM, directory, "key.pem"),
    ]
    func connect(_ more: [String], seconds: Double) throws -> Program.Result {
      let program = try Program("openssl", common + more)
      _ = Program.poll(seconds: seconds) { !program.isRunning }
      program.killGroup()
      return program.wait(seconds: 5)
    }
    let first = try connect(["-sess_out", session], seconds: 1)
    #expect(service.recorder.hasConnected(1), "\(first.report)")
    let again = try connect(["-sess_in", session], seconds: 1)
    #expect(again.output.contains("Reused, TLSv1.3"), "\(again.report)")
    #expect(service.recorder.hasConnected(2))
    service.revoke(credentials.identity.serial)
    _ = try connect(["-sess_in", session], seconds: 1)
    #expect(service.hasReported("revoked"))
    #expect(service.recorder.seen.connections.count == 2)
  }

  private func write(
    _ text: String, _ directory: TemporaryDirectory, _ name: String
  ) throws -> String {
    try Program.require(
      "bash", "-c", "printf %s \"$TEXT\" >\"$FILE\"",
      environment: ["TEXT": text, "FILE": directory.file(name)])
    return directory.file(name)
  }

  @Test("a peer that poses as the service with an agent's certificate is not talked to")
  func impostor() throws {
    let bench = try ServiceBench()
    let directory = try TemporaryDirectory("impostor")
    let agent = try bench.credentials(.agent(.random()))
    let probe = try FaultyLink(to: 1)
    let port = probe.port
    probe.close()
    #expect(Program.poll(seconds: 5) { failure { _ = try bench.client().connect(port) } != nil })
    let impostor = try Program(
      "openssl",
      [
        "s_server", "-accept", "127.0.0.1:\(port)", "-tls1_3", "-quiet", "-cert",
        try write(agent.certificatePEM, directory, "cert.pem"), "-key",
        try write(agent.privateKeyPEM, directory, "key.pem"), "-CAfile",
        try write(bench.authority.certificatePEM, directory, "ca.pem"), "-Verify", "1",
      ])
    var told: TransportError?
    _ = Program.poll(seconds: 10) {
      told = failure { _ = try bench.client().connect(port) }
      return told?.code != .refused
    }
    impostor.killGroup()
    #expect(told?.code == .handshake)
    #expect(told?.message.contains("not service") == true, "\(String(describing: told))")
  }

  @Test("a service lets in neither a service nor itself")
  func wrongRole() throws {
    let bench = try ServiceBench()
    let service = try bench.service()
    #expect(rejection(try bench.client(.service), service.port)?.code == .rejected)
    #expect(service.hasReported("neither agent nor relay"))
    #expect(
      failure {
        _ = try bench.service(credentials: try bench.credentials(.agent(.random())))
      }?.code == .credentials)
    let relay = try bench.client(.relay(.random())).connect(service.port)
    #expect(service.recorder.hasConnected(1))
    relay.close()
  }

  @Test("certificates whose time is over are refused by whoever sees it, with what to do")
  func expired() throws {
    let bench = try ServiceBench()
    let short = try bench.credentials(.service, days: 2)
    let service = try bench.service(credentials: short)
    let client = try bench.client(try bench.credentials(.agent(.random()), days: 5))
    try client.connect(service.port).close()
    // The client's clock is past the service's certificate, then past its own too.
    bench.clientClock.advance(days: 3)
    let told = failure { _ = try client.connect(service.port) }
    #expect(
      told?.code == .handshake && told?.message.contains("expired") == true,
      "\(String(describing: told))")
    bench.clientClock.advance(days: 3)
    #expect(failure { _ = try client.connect(service.port) }?.code == .credentials)
    // The service's clock is past the client's certificate.
    bench.clientClock.advance(days: -6)
    bench.serviceClock.advance(days: 6)
    #expect(rejection(client, service.port)?.code == .rejected)
    #expect(service.hasReported("expired"))
    #expect(failure { try service.listener.replace(credentials: short) }?.code == .credentials)
  }

  @Test("a revoked agent is not let in, and one that is in is cut off at once, others are not")
  func revocation() throws {
    let bench = try ServiceBench()
    let gate = Mutexed(true)
    let recorder = Recorder { _, _ in while gate.value { usleep(1000) } }
    let service = try bench.service(recorder: recorder)
    let (bad, good) = (Identifier.random(), Identifier.random())
    let credentials = try bench.credentials(.agent(bad))
    let (client, other) = (try bench.client(credentials), try bench.client(.agent(good)))
    let (live, kept) = (try client.connect(service.port), try other.connect(service.port))
    #expect(recorder.hasConnected(2))
    for number in 0..<10 { try live.send(Frame(type: UInt8(number)), within: .seconds(5)) }
    usleep(100_000)
    service.revoke(credentials.identity.serial)
    #expect(service.listener.cut { $0.role == .agent(bad) } == 1)
    gate.change { $0 = false }
    #expect(failure { _ = try live.receive(within: .seconds(5)) }?.code == .closed)
    #expect(recorder.ends(1) == [.cut])
    #expect(recorder.seen.frames.count <= 1, "what no handler had seen is dropped")
    #expect(rejection(client, service.port)?.code == .rejected)
    #expect(service.hasReported("revoked"))
    try kept.send(Frame(type: 77), within: .seconds(5))
    #expect(Program.poll(seconds: 5) { recorder.seen.frames.contains { $0.type == 77 } })
    #expect(service.listener.peers.map(\.role) == [.agent(good)])
  }

  @Test("a new certificate serves the next connection, and live ones go on")
  func rotation() throws {
    let bench = try ServiceBench()
    let (old, new) = (try bench.credentials(.service), try bench.credentials(.service))
    let service = try bench.service(credentials: old, recorder: .echo)
    let client = try bench.client()
    let before = try client.connect(service.port)
    try service.listener.replace(credentials: new)
    let after = try client.connect(service.port)
    #expect(before.peer.serial == old.identity.serial)
    #expect(after.peer.serial == new.identity.serial)
    for connection in [before, after] {
      try connection.send(Frame(type: 5), within: .seconds(5))
      #expect(try connection.receive(within: .seconds(5)).type == 5)
    }
    let agent = try bench.credentials(.agent(.random()))
    #expect(failure { try service.listener.replace(credentials: agent) }?.code == .credentials)
    #expect(try client.connect(service.port).peer.serial == new.identity.serial)
  }
}
