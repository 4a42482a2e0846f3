internal import Bytes
internal import FoundationEssentials
internal import Glibc
internal import RecoveryTree
internal import Support
internal import Testing
internal import Vault

/// Goal: `at/` answers to every spelling of an instant, and its `point.json` tells what was found.
/// Method: points at 10:30:00, 10:31:00 and 10:32:00; the tree believes that it is 10:40:00.
struct InstantsTests {
  private let walker: Walker

  init() throws {
    let now = Timestamp(seconds: VaultFixture.start.seconds + 600)
    walker = try Walker.partitioned(now: now)
  }

  @Test("the directory of instants is empty to list")
  func listing() throws {
    #expect(try walker.names("at").isEmpty)
  }

  @Test(
    "any spelling of an instant resolves to the newest point not later than it",
    arguments: [
      ("20261120T103000Z", 0), ("20261120T103059Z", 0), ("2026-11-20T10:30:59Z", 0),
      ("20261120T103059.999999999Z", 0), ("20261120T103100Z", 1), ("@1795170660", 1),
      ("@1795170719.5", 1), ("2026-11-20T10:32:00Z", 2), ("10m-ago", 0), ("541s-ago", 0),
      ("540s-ago", 1), ("8m-ago", 2),
    ])
  func spellings(spelling: String, number: Int) throws {
    let point = walker.fixture.history[number]
    #expect(try walker.document("at/\(spelling)").id == point.point.id)
    #expect(try walker.content("at/\(spelling)/disk0.raw") == point.disks[0])
  }

  @Test(
    "an instant without a point is ENOENT, as is what is not an instant",
    arguments: [
      "20261120T102959Z", "@1795170599", "11m-ago", "1w-ago", "20261120T103201Z", "@1795170721",
      "2027-01-01T00:00:00Z", "now", "20261120", "5m", "5m-ag", "-5m-ago", "@", "20261320T103000Z",
      "20261120T103000Z-crash", "latest", ".git",
    ])
  func refused(spelling: String) {
    #expect(walker.code(of: "at/\(spelling)") == ENOENT)
  }

  @Test("a relative instant beyond what the source vouches for is moved there, and says so")
  func clamped() throws {
    for spelling in ["5m-ago", "0s-ago", "479s-ago"] {
      let document = try walker.document("at/\(spelling)")
      #expect(document.id == walker.id(2))
      #expect(document.asked?.clamped == true)
      #expect(document.asked?.spelling == spelling)
    }
    #expect(try walker.document("at/480s-ago").asked?.clamped == false)
  }

  @Test("point.json names the instant asked for and how far off the point is")
  func distance() throws {
    let asked = try walker.document("at/@1795170662.25").asked
    #expect(asked?.instant == "2026-11-20T10:31:02.25Z")
    #expect(asked?.distanceSeconds == 2.25)
    #expect(try walker.document("points/\(walker.id(1))").asked == nil)
  }

  @Test("an instant's directory keeps its inode while it leads to the same point")
  func inodes() throws {
    let one = try walker.inode("at/20261120T103005Z")
    #expect(try walker.inode("at/20261120T103005Z") == one)
    #expect(try walker.inode("at/2026-11-20T10:30:05Z") != one)
    #expect(try walker.inode("at/20261120T103006Z") != one)
    #expect(try walker.inode("points/\(walker.id(0))") != one)
  }
}

/// What the tests read of `point.json`.
struct PointFields: Decodable {
  struct Asked: Decodable, Equatable {
    let instant: String
    let spelling: String
    let distanceSeconds: Double
    let clamped: Bool
  }
  struct Partition: Decodable, Equatable {
    let number: Int
    let file: String
    let offset: UInt64
    let size: UInt64
    let scheme: String
  }
  struct Disk: Decodable {
    let number: Int
    let size: UInt64
    let raw: String
    let vhd: String?
    let vhdAbsent: String?
    let partitions: [Partition]
    let partitionRemarks: [String]
  }
  let id: String
  let machine: String
  let time: String
  let kind: String
  let consistency: String
  let label: String?
  let asked: Asked?
  let disks: [Disk]
}

extension Walker {
  /// The fields of a directory's `point.json`.
  func document(_ directory: String) throws -> PointFields {
    let bytes = try content(directory + "/point.json")
    #expect(try entry(directory + "/point.json").attributes.size == UInt64(bytes.count))
    return try JSONDecoder().decode(PointFields.self, from: Data(bytes))
  }
}
