import Bytes
import FileIO
import Support
import Testing
import Vault

@testable import Agent

/// Goal: what an agent was told is never half there, and damage is told, not worked with.
@Suite struct AgentDirectoryTests {
  private let configuration = AgentConfiguration(
    host: "vault.example.com", controlPort: 8443, replicationPort: 9443, vault: .random(),
    vaultName: "main", machine: .random(), name: "web01",
    disks: [
      DiskConfiguration(number: 0, path: "/a b/ü.img", capture: .reflink, format: .raw),
      DiskConfiguration(number: 3, path: "/c.vhd", capture: .scan, format: .vhd),
    ])

  private func code(_ body: () throws -> Void) -> AgentError.Code? {
    do { try body() } catch { return (error as? AgentError)?.code }
    return nil
  }

  @Test("what is saved is found again, in files that nobody else can read")
  func saving() throws {
    let place = try TemporaryDirectory("agent")
    let directory = AgentDirectory(at: place.file("state"))
    #expect(code { _ = try directory.configuration() } == .missing)
    #expect(code { _ = try directory.lock() } == .missing)
    try directory.make()
    try directory.make()
    #expect(!directory.isEnrolled)
    try directory.save(configuration)
    #expect(try directory.configuration() == configuration)
    #expect(configuration.freeNumber == 1)
    #expect(try FileSystem.system.status(directory.path).permissions == 0o700)
    #expect(try FileSystem.system.status(directory.path + "/agent.json").permissions == 0o600)
  }

  @Test("only one agent runs on a directory, and the status says whether one does")
  func locking() throws {
    let place = try TemporaryDirectory("agent")
    let directory = AgentDirectory(at: place.path)
    var status = AgentCondition()
    status.state = .cycling
    try directory.write(status)
    let lock = try directory.lock()
    #expect(code { _ = try directory.lock() } == .locked)
    #expect(try directory.currentStatus().state == .cycling)
    lock.release()
  }

  @Test("a file that is damaged anywhere is refused or says the same")
  func damage() throws {
    var random = SeededGenerator(for: "damaged configurations")
    let place = try TemporaryDirectory("agent")
    let directory = AgentDirectory(at: place.path)
    try directory.save(configuration)
    let path = directory.path + "/agent.json"
    let whole = try FileSystem.system.readFile(path, limit: 1 << 20)
    #expect(throws: AgentError.self) { try AgentConfiguration([], of: path) }
    for length in stride(from: 0, to: whole.count - 2, by: 7) {
      try FileSystem.system.replaceFile(path, with: Array(whole[..<length]), permissions: 0o600)
      #expect(code { _ = try directory.configuration() } == .damaged)
    }
    for _ in 0..<300 {
      var bytes = whole
      bytes[random.number(0..<bytes.count)] ^= 1 << UInt8(random.number(0..<8))
      // Some changes are another configuration; none is a trap.
      _ = try? AgentConfiguration(bytes, of: path)
    }
    let twice = String(decoding: whole, as: UTF8.self).replacing(
      "\"number\" : 3", with: "\"number\" : 0")
    #expect(throws: AgentError.self) { try AgentConfiguration(Array(twice.utf8), of: path) }
  }

  @Test("whatever the power takes, the old configuration is there or the new one")
  func crashes() throws {
    var random = SeededGenerator(for: "agents without power")
    var done = 0
    for cut in 0..<40 {
      let disk = SimulatedDisk(seed: random.next())
      let directory = AgentDirectory(at: "/state", on: disk.fileSystem)
      try directory.make()
      try directory.save(configuration)
      disk.cutPower(after: cut)
      let changed = try? directory.change { $0.disks.removeLast() }
      disk.crash()
      let found = try directory.configuration()
      #expect([1, 2].contains(found.disks.count) && found.machine == configuration.machine)
      if let changed {
        #expect(found == changed)
        done += 1
        break
      }
    }
    #expect(done == 1, "some attempt came to its end")
  }

  @Test("the addresses that /etc/hosts lacks are found")
  func hosts() {
    let hosts = "127.0.0.1 localhost\n10.0.0.7\tweb01.example.org WEB01 # one\n#10.0.0.8 web01\n"
    let missing = Preflight.missing(
      in: hosts, name: "web01", addresses: ["10.0.0.7", "10.0.0.8", "fe80::1"])
    #expect(missing == ["10.0.0.8"])
  }
}
