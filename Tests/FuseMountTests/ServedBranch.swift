internal import Bytes
internal import DiskServers
internal import FileIO
internal import Glibc
internal import Support
internal import Testing
internal import Vault

/// A branch, or a plain file in its place, served by processes of their own until the value ends.
final class ServedBranch: Sendable {
  let servers: DiskServers
  let branch: Identifier
  let running: DiskServers.Running
  var client: DiskServerClient { running.client }
  var disk: String { running.path(of: 0) }

  /// Serves a plain file; as another user if `command` makes one of it.
  init(
    file: String, in directory: TemporaryDirectory, _ more: [String] = [],
    command: [String] = [Product.path("MountServer")], group: UInt32? = nil
  ) throws {
    branch = .random()
    servers = DiskServers(
      vault: .random(), in: directory.file("run"), program: command[0]
    ) { run, _ in
      command.dropFirst() + ["disk-server", "--run-directory", run.path, "--file", file] + more
    }
    var options = DiskServers.Options()
    options.group = group
    running = try servers.start(branch, options)
  }

  /// Serves a branch by the product itself.
  init(_ description: BranchDescription, of fixture: VaultFixture) throws {
    branch = description.id
    let path = fixture.vault.path
    servers = DiskServers(
      vault: fixture.vault.description.id, in: fixture.directory.file("run"),
      program: Product.tidemark
    ) { run, branch in
      ["disk-server", "--vault", path, "--branch", "\(branch)", "--run-directory", run.path]
    }
    running = try servers.start(branch)
  }

  /// Whether nothing is left of it: no process, no mount, no directory.
  var isGone: Bool {
    let directory = client.directory
    return directory.processes.isEmpty && !directory.isMounted
      && !FileSystem.system.exists(directory.path)
  }

  deinit { try? servers.end(branch, within: 0, force: true) }

  /// Kills the server, or its holder, and gives its process.
  @discardableResult
  func kill(holder: Bool = false) throws -> Int32 {
    // Of both only one may be gone at a time, and behind the kill of one it takes a moment until it is back.
    var status = try client.status()
    _ = try Program.poll(seconds: 60) {
      status = try client.status()
      return status.holder != nil
    }
    let process = holder ? try #require(status.holder) : status.server
    Glibc.kill(process, SIGKILL)
    return process
  }
}

/// A file system on a served disk, by a loop device, until the value ends.
final class MountedDisk: Sendable {
  let path: String

  init(_ disk: String, at path: String, options: String = "loop") throws {
    self.path = path
    if mkdir(path, 0o700) != 0, errno != EEXIST {
      throw IOError("make the directory", path, code: errno)
    }
    try Program.require("mount", "-o", options, disk, path)
  }

  func unmount() throws { try Program.require("umount", path) }

  deinit { umount2(path, 2) }  // MNT_DETACH
}
