internal import Bytes
internal import FileIO
internal import FoundationEssentials
internal import RecoveryTree
internal import Support
internal import Testing
internal import Vault

/// Goal: `point.json` and `machine.json` say what a program or a person needs to know.
struct DocumentsTests {
  @Test("point.json names the point, its disks and their partitions")
  func point() throws {
    let walker = try Walker.partitioned()
    let point = walker.fixture.history[1].point
    let document = try walker.document("points/\(point.id)")
    #expect(document.id == point.id)
    #expect(document.machine == VaultFixture.machine)
    #expect(document.time == "2026-11-20T10:31:00Z")
    #expect(document.kind == "app")
    #expect(document.consistency == "machine")
    #expect(document.disks.map(\.number) == [0, 1])
    #expect(document.disks.map(\.size) == [4 << 20, 1 << 20 | 512])
    #expect(document.disks.map(\.raw) == ["disk0.raw", "disk1.raw"])
    #expect(document.disks.map(\.vhd) == ["disk0.vhd", "disk1.vhd"])
    #expect(document.disks[1].partitions.isEmpty)
    #expect(
      document.disks[0].partitions == [
        PointFields.Partition(
          number: 1, file: "disk0.part1.raw", offset: 1 << 20, size: 1 << 20, scheme: "mbr"),
        PointFields.Partition(
          number: 2, file: "disk0.part2.raw", offset: 2 << 20, size: 1025 * 512, scheme: "mbr"),
      ])
  }

  @Test("a label appears, whatever characters it holds")
  func label() throws {
    let fixture = try VaultFixture(disks: [1 << 20])
    let label = "before \"the\" upgrade \\ Größe"
    let point = try fixture.mark(label: label)
    #expect(try Walker(fixture).document("points/\(point.id)").label == label)
  }

  @Test("a disk too large for a VHD has none, and point.json says why")
  func tooLarge() throws {
    let fixture = try VaultFixture(disks: [1 << 20])
    let point = try fixture.mark(sparseDisk: 2041 << 30)
    let walker = try Walker(fixture)
    #expect(try walker.names("points/\(point.id)") == ["point.json", "disk0.raw"])
    #expect(walker.code(of: "points/\(point.id)/disk0.vhd") != 0)
    let disk = try walker.document("points/\(point.id)").disks[0]
    #expect(disk.vhd == nil)
    #expect(try #require(disk.vhdAbsent).contains("2,040 GiB"))
    #expect(try walker.entry("points/\(point.id)/disk0.raw").attributes.size == 2041 << 30)
  }

  @Test("machine.json names the machine, its disks and how far its points reach")
  func machine() throws {
    struct Fields: Decodable {
      struct Disk: Decodable { let number: Int, source: String, capture: String, format: String }
      let id: String, name: String, operatingSystem: String, disks: [Disk]
      let points: Int, oldestPoint: String?, newestPoint: String?, windowEnd: String?
    }
    let walker = try Walker.partitioned()
    let bytes = try walker.content("machine.json")
    let fields = try JSONDecoder().decode(Fields.self, from: Data(bytes))
    #expect(fields.name == VaultFixture.machine)
    #expect(fields.operatingSystem == "linux")
    #expect(fields.disks.map(\.capture) == ["scan", "scan"])
    #expect(fields.points == 3)
    #expect(fields.oldestPoint == walker.id(0))
    #expect(fields.newestPoint == walker.id(2))
    #expect(fields.windowEnd == "2026-11-20T10:32:00Z")
    #expect(try walker.entry("machine.json").attributes.size == UInt64(bytes.count))
  }

  @Test("the page on the mount names every field of the documents, and no other")
  func page() throws {
    let tests = FileSystem.parent(of: FileSystem.parent(of: #filePath))
    let source = tests + "/../Sources/RecoveryTree/RecoveryTree.docc/TheMount.md"
    let page = String(
      decoding: try FileSystem.system.readFile(source, limit: 1 << 20), as: UTF8.self)
    let fixture = try VaultFixture(disks: [1 << 20])
    fixture.write(VaultFixture.partitionTable([(100, 100)]), at: 446)
    let point = try fixture.mark(label: "one")
    let walker = try Walker(fixture)
    let texts = try ["at/\(point.time.compact)/point.json", "machine.json"].map {
      String(decoding: try walker.content($0), as: UTF8.self)
    }
    let fields = Set(texts.flatMap { $0.matches(of: /"(\w+)" :/).map { String($0.1) } })
    let rows = page.split(separator: "\n").filter {
      $0.hasPrefix("| `point.json`") || $0.hasPrefix("| `asked`") || $0.hasPrefix("| each of")
        || $0.hasPrefix("| `machine.json`")
    }
    #expect(rows.count == 5)
    let named = rows.flatMap { row in
      row.split(separator: "|")[1].matches(of: /`([\w-]+)`/).map { String($0.1) }
    }
    // Values of fields, and fields that this point has no use for.
    let values: Set = ["crash", "app", "machine", "per-disk", "mbr", "gpt"]
    let unused: Set = ["vhdAbsent", "name"]
    #expect(
      Set(named).subtracting(values).subtracting(unused)
        == fields.subtracting(values).subtracting(unused))
    #expect(unused.isSubset(of: named))
  }
}
