import Replication
import Testing

@testable import Operations

/// Goal: a relay's word is judged and never believed further than it goes. Method: numbers at and past the
/// limits.
struct RelayLoadTests {
  @Test(
    "whatever a relay tells of its load, judging it traps on nothing", arguments: [UInt32.max, 0])
  func nonsense(_ value: UInt32) {
    for (free, size) in [(UInt64.max, 1), (0, 0), (1, UInt64.max), (UInt64.max, UInt64.max)] {
      let load = ServerLoad(
        processor: value, memory: value, cacheFree: free, cacheSize: size, pendingBytes: .max,
        pendingSeconds: value, machines: value)
      let rules = HealthRules()
      #expect(rules.findings(ofRelay: load).count <= 4)
      #expect(rules.findings(ofHost: load, isWatched: true, reserve: .max).count <= 4)
      let isFull = rules.findings(ofRelay: load).contains { $0.code == .serverCache }
      #expect(isFull == (size > 0 && free < size))
    }
  }
}
