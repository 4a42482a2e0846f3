import FileIO
import Foundation
import Support
import Testing

@testable import tidemark

/// Goal: certificates come, change and go without anybody being cut off who should not be. Method: the real
/// binary as service and as agent.
@Suite(.serialized) struct CertificateCommandTests {
  /// The fields of what an agent's command prints with `--json`.
  private static func agent(_ tool: Tool, _ arguments: String...) throws -> [String: Any] {
    try tool.json(["agent"] + arguments + ["--state", tool.file("state")])
  }

  private static func serial(_ tool: Tool) throws -> String {
    try digest(of: tool.vault + "/identity/service/certificate.pem")
  }

  @Test("with HTTPS of another authority a machine enrols, and certificates are rotated under it")
  func story() throws {
    let tool = try Tool.withVault("certificates")
    func make() throws {
      try Program.require(
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
        "-keyout", tool.file("https.key"), "-out", tool.file("https.pem"), "-days", "2", "-subj",
        "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
    }
    try make()
    let service = try RunningService(
      tool, "--https-port", "0", "--replication-port", "0", "--https-certificate",
      tool.file("https.pem"), "--https-key", tool.file("https.key"))
    let port = try #require(try service.notice()["httpsPort"] as? Int)
    func isServed(to authority: String) throws -> Bool {
      try Program.run(
        "curl", "--silent", "--cacert", authority, "https://localhost:\(port)/v1/health"
      ).output.contains("ok")
    }
    #expect(try isServed(to: tool.file("https.pem")))
    let place = ["--service", "127.0.0.1:\(port)"]
    func key(_ options: String...) throws -> String {
      try #require(try tool.json(["key", "create"] + options)["key"] as? String)
    }
    let enrolled = try Self.agent(
      tool, "enrol", place[0], place[1], "--key", try key(), "--name", "web01")
    let machine = try #require(enrolled["machine"] as? String)
    try tool.require(
      "agent", "add-disk", try tool.image("a.img", size: 4 << 20), "--state", tool.file("state"))
    var agent = try tool.start(["agent", "run", "--state", tool.file("state")])
    defer { agent.killGroup() }
    func state() throws -> String? {
      (try Self.agent(tool, "status")["status"] as? [String: Any])?["state"] as? String
    }
    #expect(try Program.poll(seconds: 20) { try state() == "unprotected" })
    try tool.require("machine", "enable", "web01")
    // One that starts asks at once whether it is enabled.
    agent.signal(SIGTERM)
    #expect(agent.wait(seconds: 20).status == 0)
    agent = try tool.start(["agent", "run", "--state", tool.file("state")])
    #expect(try Program.poll(seconds: 60) { try !tool.points(of: "web01").isEmpty })

    let first = try Self.serial(tool)
    let rotated = try tool.json("key", "rotate-service")
    #expect((rotated["serial"] as? String)?.isEmpty == false && rotated["notAfter"] != nil)
    let second = try Self.serial(tool)
    #expect(second != first)
    let old = try FileSystem.system.readFile(tool.file("https.pem"), limit: 65536)
    try FileSystem.system.replaceFile(tool.file("old.pem"), with: old, permissions: 0o600)
    try make()
    service.program.signal(SIGHUP)
    #expect(try Program.poll(seconds: 20) { try Self.serial(tool) != second })
    #expect(try Program.poll(seconds: 10) { try isServed(to: tool.file("https.pem")) })
    #expect(try !isServed(to: tool.file("old.pem")))
    // The agent has noticed nothing of all that.
    #expect(
      agent.isRunning && !agent.outputSoFar.errors.contains("warning"), "\(agent.outputSoFar)")
    let findings = try Self.agent(tool, "preflight", "--time-source", "none")
    let clock = (findings["checks"] as? [[String: Any]])?.first {
      $0["subject"] as? String == "clock"
    }
    #expect(clock?["verdict"] as? String == "ok", "\(findings)")

    agent.signal(SIGTERM)
    #expect(agent.wait(seconds: 20).status == 0)
    let again = try Self.agent(tool, "enrol", place[0], place[1], "--key", try key(), "--again")
    #expect(again["machine"] as? String == machine && again["name"] as? String == "web01")
    #expect(try tool.run("machine", "revoke", "web01").status == 14)
    try tool.require("machine", "revoke", "web01", "--yes")
    let refused = try tool.run(
      "agent", "enrol", place[0], place[1], "--key", try key(), "--again", "--state",
      tool.file("state"))
    #expect(refused.status == 14 && refused.errors.contains("--machine"), "\(refused.report)")
    try FileSystem.system.rename(tool.file("state"), to: tool.file("lost"))
    let back = try Self.agent(
      tool, "enrol", place[0], place[1], "--key", try key("--machine", "web01"))
    #expect(back["machine"] as? String == machine && back["name"] as? String == "web01")
    #expect(service.stop().status == 0)
  }

  @Test("without a service its certificate is renewed in its files, with the names it had")
  func alone() throws {
    let tool = try Tool.withVault("certificates-alone")
    let service = try RunningService(tool, "--https-port", "0")
    #expect(service.stop().status == 0)
    let (first, names) = (try Self.serial(tool), try Self.names(tool))
    try tool.require("key", "rotate-service")
    #expect(try Self.serial(tool) != first && Self.names(tool) == names)
    let second = try Self.serial(tool)
    #expect(try RunningService(tool, "--https-port", "0").stop().status == 0)
    #expect(try Self.serial(tool) == second)
  }

  private static func names(_ tool: Tool) throws -> String {
    try Program.require(
      "openssl", "x509", "-noout", "-ext", "subjectAltName", "-in",
      tool.vault + "/identity/service/certificate.pem")
  }

  @Test("the page of ports lists what a service listens on, and nothing else")
  func ports() throws {
    let tool = try Tool.withVault("ports")
    let service = try RunningService(tool, "--https-port", "0", "--replication-port", "0")
    let listeners = try Listeners(of: service.program.processIdentifier)
    let rows = try Listeners.page(of: "service")
    #expect(rows.filter { $0.contains("/tcp |") }.count == listeners.ports.count)
    #expect(rows.filter { $0.contains("| socket |") }.count == listeners.sockets)
    let notice = try service.notice()
    #expect(
      listeners.ports
        == Set([notice["httpsPort"], notice["replicationPort"]].compactMap { $0 as? Int }))
    let usual = try ServiceSettings(
      try ServiceLayers(file: nil, variable: { _ in nil }, options: [:]))
    for port in [usual.httpsPort, usual.replicationPort] {
      #expect(rows.contains { $0.contains("| \(port ?? 0)/tcp |") })
    }
    #expect(service.stop().status == 0)
  }
}
