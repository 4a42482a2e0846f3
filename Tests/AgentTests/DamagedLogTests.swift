import Capture
import Catalog
import FileIO
import Support
import Testing
import Vault

@testable import Agent
@testable import Operations

/// Goal: a log that can't be opened is no riddle to whoever looks at the service. Method: a MANIFEST with its
/// bytes overwritten, and an agent that comes all the same.
struct DamagedLogTests {
  @Test(
    "a log that can't be written to is told with its reason, once, however often the agent comes")
  func told() throws {
    let site = try ProtectedSite()
    try site.write([UInt8](repeating: 7, count: 1 << 20), at: 0)
    try site.startAgent()
    #expect(try site.hasPoints(1))
    site.endAgent()
    let machine = try site.vault.machine(named: ProtectedSite.name)
    let path = site.vault.path + "/machines/\(machine.id)/MANIFEST"
    let size = try FileSystem.system.status(path).size
    try File(path, .writing).write([UInt8](repeating: 0xA5, count: Int(size)), at: 0)
    func told() throws -> [String] {
      try site.service.events(after: 0, limit: 1000).filter { $0.code == "log-damaged" }
        .map(\.message)
    }
    try site.startAgent()
    #expect(try site.waits { try !told().isEmpty })
    let hellos = site.service.agentHost.activity.activity(of: site.machine).hellos
    #expect(
      site.waits { site.service.agentHost.activity.activity(of: site.machine).hellos > hellos + 1 })
    site.endAgent()
    #expect(try told().count == 1)
    #expect(try told().first?.contains("tidemark verify") == true)
  }
}
