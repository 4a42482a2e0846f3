internal import ArgumentParser
internal import Operations

/// What a machine is to be once it is recovered, as `tidemark machine set` takes it.
struct TargetOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The name of the recovered machine; 'default' for the machine's own.", valueName: "name"))
  var targetName: OrDefault<String>?

  @Option(
    help: ArgumentHelp(
      "Its processors; 'default' for as many as the machine has.", valueName: "count"))
  var cores: OrDefault<Int>?

  @Option(
    help: ArgumentHelp(
      "Its memory, such as 512M or 2G; 'default' for as much as the machine has.",
      valueName: "bytes"))
  var memory: OrDefault<ByteCount>?

  @Option(
    help: ArgumentHelp(
      "What starts it: bios or uefi; 'default' for what the machine has.", valueName: "firmware"))
  var firmware: OrDefault<Choice<TargetFirmware>>?

  @Option(
    help: ArgumentHelp(
      "The number of the disk with the operating system; 'default' for the lowest.",
      valueName: "number"))
  var osDisk: OrDefault<Int>?

  @Option(
    help: ArgumentHelp(
      "All disks as they are to be attached, such as 0,2,1; 'default' for that with the operating "
        + "system and then by number.", valueName: "numbers"))
  var diskOrder: OrDefault<DiskNumbers>?

  @Option(
    help: ArgumentHelp(
      "The network that the first adapter, or the one of a number, is attached to, such as lan or 1=lan; "
        + "'none' to configure that later. May be repeated.", valueName: "[adapter=]network"))
  var network: [AdapterValue] = []

  @Option(
    help: ArgumentHelp(
      "The address that an adapter gets there, such as 10.0.0.12 or 1=10.0.0.12; 'dhcp' for any that is "
        + "free. May be repeated.", valueName: "[adapter=]ip"))
  var targetAddress: [AdapterValue] = []

  @Option(
    help: ArgumentHelp(
      "An adapter's hardware address; 'default' for that of the machine itself. May be repeated.",
      valueName: "[adapter=]mac"))
  var mac: [AdapterValue] = []

  /// Nil if nothing was said.
  var changes: TargetChanges? {
    var changes = TargetChanges()
    changes.name = targetName.map { $0.value ?? "" }
    changes.cores = cores.map { $0.value ?? 0 }
    changes.memory = memory.map { Int(($0.value?.bytes ?? 0) >> 20) }
    changes.firmware = firmware.map { $0.value?.value.word ?? "" }
    changes.systemDisk = osDisk.map { $0.value ?? -1 }
    changes.diskOrder = diskOrder.map { $0.value?.numbers ?? [] }
    changes.adapters = adapters
    return changes == TargetChanges() ? nil : changes
  }

  private var adapters: [TargetChanges.Adapter] {
    let numbers = Set((network + targetAddress + mac).map(\.adapter)).sorted()
    return numbers.map { number in
      var change = TargetChanges.Adapter(number: number)
      change.network = network.last { $0.adapter == number }?.value(unless: "none")
      change.address = targetAddress.last { $0.adapter == number }?.value(unless: "dhcp")
      change.hardwareAddress = mac.last { $0.adapter == number }?.value(unless: "default")
      return change
    }
  }

  func validate() throws {
    if let count = memory?.value?.bytes, count % (1 << 20) != 0 {
      throw ValidationError("--memory takes whole mebibytes, such as 512M or 2G.")
    }
    if cores?.value == 0 || osDisk?.value.map({ $0 < 0 }) == true {
      throw ValidationError("--cores is 1 or more, and --os-disk 0 or more.")
    }
  }
}

/// What starts a machine, as a person writes it.
enum TargetFirmware: String, Choosable {
  case bios
  case uefi

  var word: String { rawValue }
}

/// An option's value, or the word `default` for what holds where nobody has said.
struct OrDefault<Value: ExpressibleByArgument & Sendable>: ExpressibleByArgument, Sendable {
  /// Nil for the default.
  let value: Value?

  init?(argument: String) {
    guard argument != "default" else {
      value = nil
      return
    }
    guard let value = Value(argument: argument), !argument.isEmpty else { return nil }
    self.value = value
  }
}

/// Numbers with commas between them.
struct DiskNumbers: ExpressibleByArgument {
  let numbers: [Int]

  init?(argument: String) {
    let parts = argument.split(separator: ",", omittingEmptySubsequences: false)
    numbers = parts.compactMap { Int($0) }.filter { $0 >= 0 }
    guard numbers.count == parts.count else { return nil }
  }
}

/// A value of the first adapter, or of the one whose number stands before it.
struct AdapterValue: ExpressibleByArgument {
  let adapter: Int
  private let text: String

  init?(argument: String) {
    let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
    guard parts.count == 2 else {
      guard !argument.isEmpty else { return nil }
      (adapter, text) = (0, argument)
      return
    }
    guard let number = Int(parts[0]), number >= 0, !parts[1].isEmpty else { return nil }
    (adapter, text) = (number, String(parts[1]))
  }

  /// The value; empty for the word that takes it back.
  func value(unless word: String) -> String { text == word ? "" : text }
}
