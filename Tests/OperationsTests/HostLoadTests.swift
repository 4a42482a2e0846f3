import Testing

@testable import FileIO
@testable import Operations

/// Goal: a busy host is told from one that is not. Method: texts as the kernel writes them, the limits at
/// their borders, and this host.
@Suite struct HostLoadTests {
  @Test("processor and memory are read as the kernel writes them")
  func texts() {
    let before = HostLoad.processor(in: "cpu  100 0 50 800 50 0 0 0 7 7\ncpu0 1 1 1 1 1\n")
    let after = HostLoad.processor(in: "cpu  190 0 50 810 50 0 0 0 7 7\n")
    #expect(before == HostLoad.ProcessorTime(busy: 150, total: 1000))
    #expect(before.flatMap { after?.percent(since: $0) } == 90)
    #expect(after.flatMap { before?.percent(since: $0) } == nil)
    #expect(HostLoad.processor(in: "cpu  1 x\n") == nil)
    #expect(HostLoad.memoryPercent(in: "MemTotal:  1000 kB\nMemAvailable:  250 kB\n") == 75)
    #expect(HostLoad.memoryPercent(in: "MemTotal:  0 kB\n") == nil)
    let now = HostLoad.now(at: "/tmp")
    #expect(now.processor != nil && now.memoryPercent != nil && now.freePercent != nil)
  }

  @Test("limits hold at their borders")
  func limits() {
    let limits = HostLimits()
    #expect(
      [80, 81, 95, 96].map { limits.verdict(busy: $0) } == [.ok, .warning, .warning, .critical])
    #expect(
      [30, 29, 25, 24].map { limits.verdict(free: $0) } == [.ok, .warning, .warning, .critical])
    #expect(limits.verdict(busy: nil) == .ok && limits.verdict(free: nil) == .ok)
  }

  @Test("a quarter of an hour counts, not a peak")
  func window() {
    var window = HostLoadWindow()
    func load(_ busy: UInt64, _ total: UInt64, _ memory: Int) -> HostLoad {
      HostLoad(
        processor: HostLoad.ProcessorTime(busy: busy, total: total), memoryPercent: memory)
    }
    for second in 0...2000 {
      // One second of two is busy, and the memory fills up.
      window.add(load(UInt64(second) / 2, UInt64(second), second / 20), at: Int64(second))
      if second < 900 { #expect(!window.isFull) }
    }
    #expect(window.isFull)
    #expect(window.processorPercent == 50)
    #expect((70...80).contains(window.memoryPercent ?? 0))
    window.add(load(0, 0, 0), at: 5)
    #expect(!window.isFull)
  }
}
