internal import ArgumentParser
internal import Bytes
internal import DiskServers
internal import FileIO
internal import FuseMount
internal import Vault

/// `tidemark disk-server`, which the service runs and no person does.
struct DiskServerCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "disk-server", abstract: "Serve the disks of a branch as files.",
    discussion: """
      Started by the service; returns once the disks answer, and leaves two processes that serve them until \
      they are told to end.
      """,
    shouldDisplay: false)

  @Option(help: ArgumentHelp("The vault's directory.", valueName: "dir"))
  var vault: String?

  @Option(help: ArgumentHelp("The branch.", valueName: "id"))
  var branch: String?

  @Option(help: ArgumentHelp("Where the mount, the socket and the lock are.", valueName: "dir"))
  var runDirectory: String

  @Option(help: ArgumentHelp("A group that may use the disks too.", valueName: "number"))
  var group: UInt32?

  @Flag(help: "Refuse writes until the disks are thawed.")
  var frozen = false

  @Flag(help: "Clear away what a server left that is gone.")
  var cleanUp = false

  @Option(help: ArgumentHelp("What this process is for the mount.", valueName: "role"))
  var role: String = DiskServer.Role.starter.rawValue

  @Flag(help: "Refuse requests that the kernel hands out again.")
  var wary = false

  func run() throws {
    let directory = try RunDirectory(runDirectory)
    if cleanUp { return try DiskServer.cleanUp(directory) }
    guard let vault, let id = branch.flatMap({ Identifier($0) }),
      let role = DiskServer.Role(rawValue: role)
    else {
      throw ValidationError("--vault, --branch and a role are needed.")
    }
    var options = DiskServer.Options()
    (options.group, options.isFrozen, options.isWary) = (group, frozen, wary)
    options.version = Tidemark.version
    let server = DiskServer(
      in: directory, options, arguments: words(vault, id), backing: vault
    ) {
      try Self.disks(of: id, in: vault)
    }
    try server.run(as: role)
  }

  /// The arguments that each process of the mount is started with.
  private func words(_ vault: String, _ branch: Identifier) -> [String] {
    var words = [
      "disk-server", "--vault", vault, "--branch", "\(branch)", "--run-directory", runDirectory,
    ]
    if let group { words += ["--group", "\(group)"] }
    if frozen { words.append("--frozen") }
    return words
  }

  private static func disks(of id: Identifier, in path: String) throws -> ServedDisks {
    let branch: Branch
    do throws(VaultError) { branch = try Vault(opening: path).openBranch(id) } catch {
      if error.code == .unknownBranch { throw DisksGone(error.message) }
      throw error
    }
    let disks = branch.disks.map { ($0.number, $0 as any WritableDisk) }
    var served = ServedDisks(Dictionary(uniqueKeysWithValues: disks))
    served.usage = { usage(of: branch) }
    served.health = {
      var health = ServedDisks.Health()
      (health.isRemoved, health.hasEnded) = (branch.isRemoved, branch.hasEnded)
      health.canMend = !branch.isFlat
      health.writes = branch.usage.records
      return health
    }
    let flattener = BranchFlattener(branch)
    served.flattening = ServedDisks.Flattening(
      begin: { flattener.begin() }, cancel: { flattener.cancel() }, end: { flattener.end() },
      state: { copy(flattener.state) })
    served.close = { try branch.close() }
    return served
  }

  private static func copy(_ state: BranchFlattener.State) -> DiskServerStatus.Copy {
    switch state {
    case .idle: .init(.idle)
    case .running(let done, let total): .init(.running, doneBytes: done, totalBytes: total)
    case .failed(let error): .init(.failed, failure: error.message)
    case .flat: .init(.done)
    }
  }

  private static func usage(of branch: Branch) -> ServedDisks.Usage {
    let usage = branch.usage
    let warning =
      "The branch has used \(Words.size(usage.storedBytes)) of its budget of "
      + "\(Words.size(usage.budget ?? 0)): once all is used, writes fail for want of room."
    return ServedDisks.Usage(
      used: usage.storedBytes, budget: usage.budget,
      warnings: (usage.isNearBudget ? [warning] : []) + [usage.trouble].compactMap { $0 })
  }
}
