import Bytes
import FileIO
import Operations
import Support
import Testing

@testable import Agent
@testable import Operations

/// Goal: a limit with hours holds in these and is lifted outside them, also in the middle of a session.
/// Method: the real service and agent, and a clock that is set.
@Suite(.serialized) struct BandwidthHoursTests {
  @Test("the agent is told at each border of the hours, on the connection it has")
  func borders() throws {
    let site = try ProtectedSite(size: 4 << 20)
    site.time.set(minute: 7 * 60 + 59)
    var changes = MachineChanges()
    (changes.bandwidth, changes.bandwidthHours) = (8 << 20, BandwidthHours("08:00-18:00"))
    _ = try site.service.change(ProtectedSite.name, changes)
    try site.startAgent()
    #expect(try site.hasPoints(1))
    func isLimited(to limit: Int?) -> Bool {
      site.service.monitor.look(at: .now(), load: HostLoad())
      return site.waits { site.agent.status().map { $0.bandwidth == limit } ?? false }
    }
    #expect(isLimited(to: nil))
    site.time.set(minute: 8 * 60)
    #expect(isLimited(to: 8 << 20))
    site.time.set(minute: 17 * 60 + 59)
    #expect(isLimited(to: 8 << 20))
    site.time.set(minute: 18 * 60)
    #expect(isLimited(to: nil))
    #expect(site.link.connections == 1)
    // One that connects in the hours is told with its welcome.
    site.endAgent()
    site.time.set(minute: 12 * 60)
    try site.startAgent()
    #expect(site.waits { site.agent.status()?.bandwidth == 8 << 20 })
  }
}
