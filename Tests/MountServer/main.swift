internal import FuseMount
internal import Glibc
internal import RecoveryTree
internal import Vault

// Mounts a vault in a process of its own, for tests that kill it or need another user:
//
//   MountServer VAULT DIRECTORY [--user ID] [--allow-other] [--background]
//   MountServer --unmount DIRECTORY [--user ID]
//
// Prints `ready` once the mount answers, then the faults that are reported, and `ended` at the end.
// A failure is a message on its standard error, its code in front, and the status 3.

// A holder of disks asks for that itself.
if CommandLine.arguments.dropFirst().first == "disk-server" {
  serveDisks(Array(CommandLine.arguments.dropFirst()))
}

let readiness = Readiness.inherited()

/// Ends the process with a message.
func fail(_ message: String) -> Never {
  readiness?.fail(message)
  say(message, to: STDERR_FILENO)
  exit(3)
}

func say(_ line: String, to descriptor: Int32 = STDOUT_FILENO) {
  let bytes = Array("\(line)\n".utf8)
  _ = write(descriptor, bytes, bytes.count)
}

func serve(_ vault: String, _ directory: String, _ options: MountOptions) {
  do {
    let tree = RecoveryTree(vault: try Vault(opening: vault))
    let session = try MountSession(tree: tree, mountPoint: directory, options: options)
    try session.run { [readiness] in
      readiness?.succeed()
      say("ready")
    }
    say("ended")
  } catch let error as MountError {
    fail("\(error.code): \(error)")
  } catch {
    fail("\(error)")
  }
}

var arguments = Array(CommandLine.arguments.dropFirst())
guard arguments.count >= 2 else { fail("usage: MountServer VAULT DIRECTORY [OPTION …]") }
let vault = arguments.removeFirst()
let directory = arguments.removeFirst()
var options = MountOptions()
options.report = { say("fault: " + $0) }
options.allowOther = arguments.contains("--allow-other")
if let place = arguments.firstIndex(of: "--user"), place + 1 < arguments.count,
  let user = uid_t(arguments[place + 1])
{
  guard setgroups(0, nil) == 0, setgid(user) == 0, setuid(user) == 0 else { fail("no such user") }
}
if vault == "--unmount" {
  do { try unmount(directory) } catch { fail("\(error.code): \(error)") }
} else if arguments.contains("--background") {
  let rest = arguments.filter { $0 != "--background" }
  do {
    try BackgroundMount.start([vault, directory] + rest)
  } catch { fail("\(error.code): \(error)") }
} else {
  serve(vault, directory, options)
}
