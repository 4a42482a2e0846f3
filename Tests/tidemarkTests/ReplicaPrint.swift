import FileIO
import Foundation
import Support
import Testing

/// What a vault holds of a machine and what its agent has sent, to be compared with what that is later.
struct ReplicaPrint {
  /// The digest of every file of the machine's log, by name.
  let files: [String: String]
  /// Their bytes.
  let sizes: [String: UInt64]
  /// The digests of the first disk at points, by id.
  let points: [String: String]
  /// What the agent was told to be durable.
  let durable: UInt64
  private let directory: String
  private let tool: Tool

  /// Looks at the machine that a vault has, and, `withPoints`, reads its newest points of both kinds.
  init(_ source: SourceMachine, withPoints: Bool = true) throws {
    tool = source.tool
    let machines = tool.vault + "/machines"
    let machine = try #require(try FileSystem.system.list(machines).first)
    directory = machines + "/" + machine
    var (files, sizes) = ([String: String](), [String: UInt64]())
    for name in try FileSystem.system.list(directory) where name.hasSuffix(".seg") {
      files[name] = try digest(of: directory + "/" + name)
      sizes[name] = try FileSystem.system.status(directory + "/" + name).size
    }
    (self.files, self.sizes) = (files, sizes)
    durable = source.agent.status.durable
    let known = try tool.points(of: SourceMachine.name)
    let chosen = ["-app", "-crash"].compactMap { kind in known.last { $0.hasSuffix(kind) } }
    points = withPoints ? try Self.digests(chosen, tool) : [:]
  }

  private static func digests(_ points: [String], _ tool: Tool) throws -> [String: String] {
    let mount = try VaultMount(tool)
    defer { withExtendedLifetime(mount) {} }
    var found: [String: String] = [:]
    for point in points {
      found[point] = try digest(of: mount.file(SourceMachine.name, point, "disk0.raw"))
    }
    return found
  }

  /// Expects that nothing was changed since: what was sealed is there as it was, what was being written to
  /// has only been added to, and the points show the same disks.
  func expectUntouched() throws {
    let newest = files.keys.max { Self.number($0) < Self.number($1) }
    for (name, old) in files {
      let path = directory + "/" + name
      let size = try #require(sizes[name])
      let now =
        name == newest
        ? try Program.require(
          "bash", "-c", "head -c \"$2\" \"$1\" | sha256sum", "digest", path, String(size)
        ).prefix(64).description
        : try digest(of: path)
      #expect(now == old, "\(name), \(size) bytes")
    }
    guard !points.isEmpty else { return }
    #expect(try Self.digests(Array(points.keys), tool) == points)
  }

  /// Bytes of the whole log.
  var size: UInt64 { sizes.values.reduce(0, +) }

  private static func number(_ name: String) -> Int {
    name.split(separator: ".").first.flatMap { Int($0) } ?? 0
  }
}
