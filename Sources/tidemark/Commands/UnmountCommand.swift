internal import ArgumentParser
internal import FuseMount

/// `tidemark unmount DIR`
struct UnmountCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "unmount", abstract: "End a mount, also a stale one.",
    discussion: discussion(
      examples: ["tidemark unmount /mnt/tidemark", "tidemark unmount /mnt/tidemark --lazy"],
      ends: [.refused]))

  @Argument(help: ArgumentHelp("Where it is mounted.", valueName: "dir"), completion: .directory)
  var directory: String

  @Flag(help: "Take the mount away at once, and end it when nobody uses it any more.")
  var lazy = false

  func run() throws {
    try unmount(directory, lazily: lazy)
    Console.note("Unmounted \(directory).")
  }
}
