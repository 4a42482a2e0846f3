internal import ArgumentParser
internal import ControlAPI
internal import FileIO
internal import Operations

/// `tidemark machine connect NAME`
struct MachineConnectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "connect",
    abstract: "Open the serial console of a machine of a failover, or tell how it is reached.",
    discussion: discussion(
      """
      On a terminal every key goes to the machine, but for Ctrl-], which ends this; the machine goes on. If
      standard input is no terminal it is copied to the machine, and this ends behind its end, once the machine
      is silent. The console takes one at a time: whoever comes second waits. It is opened on the host that
      the service runs on.
      """,
      examples: [
        "tidemark machine connect web01", "tidemark machine connect web01 --test --log",
        "tidemark machine connect web01 --vnc", "tidemark machine connect web01 --json",
      ],
      ends: [.noVault, .locked, .unknown, .refused, .interrupted]))

  @OptionGroup var machine: RecoveredMachineOption

  @Flag(help: "Print the socket of its screen and keyboard.")
  var vnc = false

  @Flag(help: "Print the ports of this host that lead to it.")
  var ports = false

  @Flag(help: "Print the last of what it wrote to its serial console, also once it is off.")
  var log = false

  @OptionGroup var vault: VaultOption
  @OptionGroup var output: OutputOption

  /// Ctrl-], as a terminal sends it.
  private static let escape: UInt8 = 0x1D
  /// Bytes of the console log that are asked for at the most.
  private static let logLimit = 1 << 20

  func validate() throws {
    guard [vnc, ports, log, output.json].filter({ $0 }).count <= 1 else {
      throw ValidationError("Give one of --vnc, --ports, --log and --json.")
    }
  }

  func run() throws {
    let (name, isTest) = (machine.name, machine.test)
    // Nothing is held while the console is open.
    if log {
      let console = try ServiceAccess.with(try vault.opened()) { access in
        try access.client.console(of: name, isTest: isTest, limit: Self.logLimit)
      }
      return Console.out(
        StandardStream.output.isTerminal ? GuestText.readable(console.text) : console.text)
    }
    let power = try ServiceAccess.with(try vault.opened()) { access in
      try access.client.power(of: name, isTest: isTest)
    }
    if output.json { return output.print(power, text: "") }
    guard let serial = power.serialSocket, let display = power.displaySocket else {
      throw OperationError(.refused, Self.refusal(power, name))
    }
    if vnc { return Console.out(display) }
    if ports { return Console.out(PowerReport.ports(power)) }
    try talk(serial)
  }

  private static func refusal(_ power: PowerDocument, _ name: String) -> String {
    guard power.power != "silent" else {
      return "'\(name)' runs and does not answer. \(power.notes.joined(separator: " "))"
    }
    guard power.provider == "none" else {
      let test = power.isTest ? " --test" : ""
      return
        "'\(name)' is \(power.power). 'tidemark machine start \(name)\(test)' starts it; --log prints "
        + "what it wrote to its console."
    }
    let disks = power.directory.map { " Its disks are in \($0)." } ?? ""
    return
      "No machine is run for '\(name)', as its compute provider is 'none'.\(disks) 'tidemark machine start "
      + "\(name)\(power.isTest ? " --test" : "") --boot' runs one."
  }

  private func talk(_ socket: String) throws {
    Interruption.listen()
    let end: StreamCopy.End
    do throws(IOError) {
      var copy = try StreamCopy(with: socket, escape: Self.escape)
      Console.note(
        "Connected to the console of '\(machine.name)', or waiting for who has it open. Ctrl-] ends this."
      )
      end = try copy.run { Interruption.isRequested }
    } catch { throw OperationError(.failed, error.description) }
    switch end {
    case .escaped, .inputEnded: Console.note("")
    case .hungUp: Console.note("\nThe machine has ended.")
    case .cancelled:
      throw OperationError(.cancelled, "The console was left; the machine goes on.")
    }
  }
}
