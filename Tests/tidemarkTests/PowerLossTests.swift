import Bytes
import FileIO
import Support
import Testing
import Vault

/// Goal: power loss under the real binary loses nothing that it acknowledged. Method: the vault, with
/// MANIFESTs and lock, lies on a file system that loses power in the middle of a random call, with
/// any unsynced write lost or torn and any unsynced name undone. What is left is then read and
/// written as after a restart. `TIDEMARK_POWER_LOSSES` says how often.
@Suite(.enabled(if: Available.fuse)) struct PowerLossTests {
  private static let size = 32 << 20
  private static let rounds = Count.of("TIDEMARK_POWER_LOSSES", normally: 10)

  /// The command with its vault in a directory that `PowerLossMount` can serve.
  private struct Site {
    let tool: Tool
    let backing: String
    let image: String

    init(_ random: inout SeededGenerator) throws {
      tool = try Tool("power")
      backing = tool.directory.file("backing")
      try FileSystem.system.makeDirectory(backing)
      image = try tool.image("disk.img", size: UInt64(PowerLossTests.size))
      try File(image, .writing).write(random.bytes(PowerLossTests.size / 2), at: 0)
    }

    /// Runs the command on the vault as it lies in `directory`, else in the backing directory.
    func run(_ arguments: [String], on directory: String? = nil) throws -> Program.Result {
      var variables = tool.variables
      variables["TIDEMARK_VAULT"] = (directory ?? backing) + "/vault"
      return try Program(
        Product.tidemark, arguments, environment: variables, in: tool.directory.path
      ).wait(seconds: 300)
    }

    func run(_ arguments: String...) throws -> Program.Result { try run(arguments) }

    /// Runs the command, which must succeed, and gives the last line of its output.
    @discardableResult
    func require(_ arguments: String...) throws -> String {
      let result = try run(arguments)
      try #require(result.succeeded, "\(arguments): \(result.report)")
      return String(result.output.split(separator: "\n").last ?? "")
    }

    /// Runs `commands` on the vault with the power failing after `calls` changing calls, or after
    /// them all; gives how each of them ended until one failed.
    func losingPower(
      after calls: Int, seed: UInt64, _ commands: [[String]]
    ) throws -> [Program.Result] {
      var faults = PowerLossMount.Faults()
      faults.powerOffAfter = calls
      let mount = try PowerLossMount(backing: backing, seed: seed, faults: faults)
      var results: [Program.Result] = []
      for command in commands where results.allSatisfy(\.succeeded) {
        results.append(try run(command, on: mount.path))
      }
      try mount.losePower()
      return results
    }

    /// The checksum of the disk at a point, read from the vault as it lies there now.
    func checksum(_ machine: String, _ id: String) throws -> UInt32 {
      let snapshot = try Vault(opening: backing + "/vault").machine(named: machine).snapshot()
      let reader = try snapshot.disk(0, at: try snapshot.resolve(.name(id), now: .now()).point)
      var bytes = [UInt8](repeating: 0, count: Int(reader.size))
      return try bytes.withUnsafeMutableBytes {
        try reader.read(into: $0, at: 0)
        return Checksum.of(UnsafeRawBufferPointer($0))
      }
    }

    func checksumOfImage() throws -> UInt32 {
      try FileSystem.system.readFile(image, limit: 1 << 30).withUnsafeBytes { Checksum.of($0) }
    }

    func points(_ machine: String) throws -> [String] {
      try Vault(opening: backing + "/vault").machine(named: machine).snapshot().points.map(\.id)
    }
  }

  @Test("a point that was printed is there after the power failed, and so is all before it")
  func laterReplication() throws {
    var random = SeededGenerator(for: "power losses of later replications")
    let site = try Site(&random)
    try site.require("vault", "init", site.backing + "/vault")
    try site.require("machine", "add", "m", "--disk", site.image)
    var known = [try site.require("replicate", "m"): try site.checksumOfImage()]
    var failed = 0
    for _ in 0..<Self.rounds {
      let file = try File(site.image, .writing)
      for _ in 0..<random.number(1..<2000) {
        try file.write(random.bytes(4096), at: UInt64(random.number(0..<Self.size / 4096)) * 4096)
      }
      let before = try site.points("m")
      let ends = try site.losingPower(
        after: random.number(0..<44), seed: random.next(), [["replicate", "m"]])
      let cycle = try #require(ends.first)
      if !cycle.succeeded { failed += 1 }
      let verified = try site.run("verify")
      #expect(verified.succeeded, "\(verified.report)")
      let points = try site.points("m")
      #expect(points.starts(with: before) && points.count <= before.count + 1)
      #expect(!cycle.succeeded || points.count == before.count + 1, "a printed point is lost")
      for id in points where known[id] == nil { known[id] = try site.checksumOfImage() }
      known[try site.require("replicate", "m")] = try site.checksumOfImage()
      for id in known.keys.sorted().shuffled(using: &random).prefix(4) {
        #expect(try site.checksum("m", id) == known[id])
      }
    }
    for (id, sum) in known { #expect(try site.checksum("m", id) == sum) }
    print("cycles that failed: \(failed) of \(Self.rounds)")
    #expect(failed > 0)
  }

  @Test("a machine whose first replication lost power is there or not, and can be replicated")
  func firstReplication() throws {
    var random = SeededGenerator(for: "power losses of first replications")
    let site = try Site(&random)
    try site.require("vault", "init", site.backing + "/vault")
    for round in 0..<Self.rounds {
      let name = "m\(round)"
      let commands = [["machine", "add", name, "--disk", site.image], ["replicate", name]]
      let ends = try site.losingPower(after: random.number(0..<110), seed: random.next(), commands)
      let verified = try site.run("verify")
      #expect(verified.succeeded, "\(verified.report)")
      // What was acknowledged is there; what was not may be.
      let again = try site.run("machine", "add", name, "--disk", site.image)
      #expect(!again.succeeded || ends.first?.succeeded != true, "an added machine is lost")
      if ends.count == 2, ends[1].succeeded {
        #expect(try site.points(name).count == 1, "a printed point is lost")
      }
      let id = try site.require("replicate", name)
      #expect(try site.checksum(name, id) == site.checksumOfImage())
    }
  }

  @Test("a vault whose making lost power is there, or can be made anew")
  func making() throws {
    var random = SeededGenerator(for: "power losses of vault init")
    for _ in 0..<Self.rounds {
      let site = try Site(&random)
      let mount = try Self.mount(site, &random)
      let made = try site.run(["vault", "init", mount.path + "/vault"], on: mount.path)
      try mount.losePower()
      if made.succeeded { #expect(try site.run("vault", "info").succeeded, "a vault is lost") }
      guard try !site.run("vault", "info").succeeded else { continue }
      // Half a vault is no vault; another init clears it away.
      let again = try site.run("vault", "init", site.backing + "/vault", "--name", "again")
      #expect(again.succeeded, "\(again.report)")
    }
  }

  private static func mount(
    _ site: Site, _ random: inout SeededGenerator
  ) throws -> PowerLossMount {
    var faults = PowerLossMount.Faults()
    faults.powerOffAfter = random.number(0..<12)
    return try PowerLossMount(backing: site.backing, seed: random.next(), faults: faults)
  }
}
