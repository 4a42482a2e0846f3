internal import ArgumentParser
internal import GuestFiles

/// `tidemark guest-facts`: what the service starts to read a guest's disks.
struct GuestFactsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "guest-facts",
    abstract: "Read facts of a guest's disks. Only the service starts this.",
    shouldDisplay: false)

  @Argument var disks: [String] = []

  func run() { GuestFactsServer.run(disks: disks) }
}
