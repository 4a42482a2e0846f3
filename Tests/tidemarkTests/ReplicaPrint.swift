import Bytes
import FileIO
import Foundation
import Support
import Testing

@testable import Vault

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

  /// Expects that nothing was added to the log since but syncs, which hold no content.
  func expectOnlySyncs() throws {
    let vault = try Vault(opening: tool.vault)
    let machine = try #require(Identifier(String(directory.suffix(36))))
    let identity = LogIdentity(vault: vault.description.id, machine: machine)
    for name in try FileSystem.system.list(directory) where name.hasSuffix(".seg") {
      let file = LogFile(try File(directory + "/" + name, .reading))
      let end = try file.file.status().size
      var scanner = RecordScanner(file, (sizes[name] ?? 0)..<end, identity: identity)
      while let step = try scanner.next() {
        guard case .record(let header, _, _) = step, header.type == .sync else {
          Issue.record("\(name) has more than syncs: \(step)")
          return
        }
      }
    }
  }

  private static func number(_ name: String) -> Int {
    name.split(separator: ".").first.flatMap { Int($0) } ?? 0
  }
}
