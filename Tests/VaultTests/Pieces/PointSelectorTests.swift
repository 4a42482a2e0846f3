import Bytes
import Support
import Testing

@testable import Vault

/// Goal: every way to name a point leads to the point meant, or to an error that says why not.
struct PointSelectorTests {
  @Test(
    "every spelling is read as what it means",
    arguments: [
      ("latest", PointSelector.latest), ("latest-processed", .latest),
      ("latest-app-consistent", .latestApplicationConsistent),
      ("20261120T103205Z", .instant(.absolute(Timestamp(seconds: 1_795_170_725)))),
      ("2026-11-20T10:32:05Z", .instant(.absolute(Timestamp(seconds: 1_795_170_725)))),
      ("@1795170725", .instant(.absolute(Timestamp(seconds: 1_795_170_725)))),
      ("5m-ago", .instant(.ago(seconds: 300))),
      ("20261120T103205Z-crash", .name("20261120T103205Z-crash")),
      ("before the upgrade", .name("before the upgrade")),
    ])
  func spellings(text: String, expected: PointSelector) {
    #expect(PointSelector(text) == expected)
  }

  @Test(
    "a label that could be taken for anything else is refused",
    arguments: [
      "", "latest", "latest-processed", "latestly", ".", "..", "a/b", "a:b", "a\nb", "a\u{0}b",
      "20261120T103205Z", "2026-11-20T10:32:05Z", "@1795170725", "5m-ago",
      "20261120T103205Z-crash", "20261120T103205Z-app-2", String(repeating: "x", count: 101),
      String(repeating: "ü", count: 51),
    ])
  func badLabels(label: String) {
    #expect(PointSelector.objection(toLabel: label) != nil)
  }

  @Test(
    "an ordinary label is accepted, and names its point",
    arguments: [
      "x", "before the upgrade", "Über-Label 2", "20261120", "the-latest", "crash", "5m", "ago",
      String(repeating: "x", count: 100), "20261120T103205Z-mine",
    ])
  func goodLabels(label: String) {
    #expect(PointSelector.objection(toLabel: label) == nil)
    #expect(PointSelector(label) == .name(label))
  }

  /// Points at 10:00:00, 10:00:00 again, 10:01:00.5 (app) and 10:02:00, from the start of a day.
  private func snapshot() throws -> (bench: Workbench, points: [RecoveryPoint]) {
    let bench = try Workbench(on: SimulatedDisk(seed: 1).fileSystem)
    let writer = try bench.writer()
    var points = [try bench.mark(writer, label: "first").point]
    points.append(try bench.mark(writer, label: "twice").point)
    bench.clock.step(60_500_000_000)
    points.append(try bench.mark(writer, label: "twice", kind: .application).point)
    bench.clock.step(59_500_000_000)
    points.append(try bench.mark(writer).point)
    try writer.close()
    return (bench, points)
  }

  @Test("names lead to their points, two points of one second among them")
  func resolves() throws {
    let (bench, points) = try snapshot()
    let snapshot = try bench.reader().snapshot()
    func point(_ text: String) throws -> RecoveryPoint {
      try snapshot.resolve(PointSelector(text), now: bench.clock.now).point
    }
    #expect(points.map(\.id) == points.map(\.id).uniqued())
    #expect(points[1].id == points[0].id + "-2")
    for expected in points { #expect(try point(expected.id) == expected) }
    #expect(try point("latest") == points[3])
    #expect(try point("latest-processed") == points[3])
    #expect(try point("latest-app-consistent") == points[2])
    #expect(try point("first") == points[0])
    #expect(try point("twice") == points[2], "the newest of a label")
    #expect(try point(points[0].time.iso8601) == points[1], "the newest of an instant")
    #expect(try point("60s-ago") == points[1])
    #expect(try point("59s-ago") == points[2])
  }

  @Test("an instant says how far off its point is, and a relative one is held inside the window")
  func distances() throws {
    let (bench, points) = try snapshot()
    let snapshot = try bench.reader().snapshot()
    bench.clock.step(3_600_000_000_000)
    let now = bench.clock.now
    let ago = try snapshot.resolve(PointSelector("10m-ago"), now: now)
    #expect(ago.point == points[3])
    #expect(ago.clamped)
    let moment = Timestamp(rawValue: points[2].time.rawValue + 7)
    let absolute = try snapshot.resolve(.instant(.absolute(moment)), now: now)
    #expect(absolute.point == points[2])
    #expect(absolute.distance == 7)
    #expect(!absolute.clamped)
    #expect(try snapshot.resolve(.latest, now: now).distance == nil)
  }

  @Test("what leads nowhere is an unknown point, and the message says why")
  func unknown() throws {
    let (bench, points) = try snapshot()
    let snapshot = try bench.reader().snapshot()
    let late = Timestamp(rawValue: points[3].time.rawValue + 2_000_000_000).iso8601
    let early = Timestamp(rawValue: points[0].time.rawValue - 1).iso8601
    for text in ["nothing", late, early, "9d-ago", "20261120T103205Z-crash-9"] {
      #expect { try snapshot.resolve(PointSelector(text), now: bench.clock.now) } throws: {
        ($0 as? VaultError)?.code == .unknownPoint
      }
    }
    let empty = try Workbench(on: SimulatedDisk(seed: 1).fileSystem).reader().snapshot()
    for text in ["latest", "latest-app-consistent", "5m-ago", "@1795170725", "x"] {
      #expect { try empty.resolve(PointSelector(text), now: bench.clock.now) } throws: {
        ($0 as? VaultError)?.code == .unknownPoint
      }
    }
  }
}

extension Array where Element: Hashable {
  /// The elements in order, each once.
  fileprivate func uniqued() -> [Element] {
    var seen: Set<Element> = []
    return filter { seen.insert($0).inserted }
  }
}
