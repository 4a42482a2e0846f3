internal import Bytes
internal import DiskServers
internal import FileIO
internal import FuseMount
internal import Glibc
internal import Support

// Serves plain files as the disks of a branch, for tests of what a disk server is beside its disks:
//
//   MountServer disk-server --run-directory DIR --file FILE … [--group ID] [--frozen] [--no-resend]
//     [--failing FILE] [--holding FILE] [--version FILE]
//   MountServer disk-server --run-directory DIR --clean-up

/// The options of the command line.
struct DiskArguments {
  var files: [String] = []
  var failing: String?
  var holding: String?
  var runDirectory = ""
  var options = DiskServer.Options()
  var role = DiskServer.Role.starter
  var cleansUp = false
  /// All but role and wariness.
  var words: [String] = []

  init(_ arguments: [String]) {
    var rest = arguments[...]
    while let word = rest.popFirst() {
      let isOfRole = word == "--role" || word == "--wary"
      if !isOfRole { words.append(word) }
      switch word {
      case "--frozen": options.isFrozen = true
      case "--no-resend": options.asksAgain = false
      case "--wary": options.isWary = true
      case "--clean-up": cleansUp = true
      default:
        guard word.hasPrefix("--"), let value = rest.popFirst() else { continue }
        if !isOfRole { words.append(value) }
        take(word, value)
      }
    }
  }

  private mutating func take(_ word: String, _ value: String) {
    switch word {
    case "--file": files.append(value)
    case "--failing": failing = value
    case "--holding": holding = value
    case "--version":
      let text = (try? File(value, .reading).read(at: 0, count: 1)) ?? []
      options.version = String(decoding: text, as: UTF8.self)
    case "--run-directory": runDirectory = value
    case "--group": options.group = UInt32(value)
    case "--role": role = DiskServer.Role(rawValue: value) ?? .starter
    default: break
    }
  }
}

/// Does what the command line says; ends the process.
func serveDisks(_ arguments: [String]) -> Never {
  let parsed = DiskArguments(arguments)
  do {
    let directory = try RunDirectory(parsed.runDirectory)
    if parsed.cleansUp {
      try DiskServer.cleanUp(directory)
      exit(0)
    }
    let (files, failing, holding) = (parsed.files, parsed.failing, parsed.holding)
    let server = DiskServer(
      in: directory, parsed.options, arguments: parsed.words, backing: files.first ?? "/"
    ) {
      var disks: [DiskNumber: any WritableDisk] = [:]
      for (number, file) in files.enumerated() {
        guard FileSystem.system.exists(file) else { throw DisksGone("'\(file)' is gone.") }
        disks[DiskNumber(number)] = try FileDisk(file)
      }
      if let holding { disks = disks.mapValues { HoldingDisk($0, holding) } }
      guard let failing, let first = disks[0] else { return ServedDisks(disks) }
      return FailingDisk(first, failing).served
    }
    try server.run(as: parsed.role)
  } catch {
    say("\(error)", to: STDERR_FILENO)
    exit(3)
  }
  exit(0)
}
