internal import Bytes
internal import FileIO
internal import FoundationEssentials
internal import MachineSockets

/// Asks a running QEMU what its machine is ("QEMU QMP Reference Manual"). What it has is asked for, not what it
/// was to have; the plan only says what the networks are for.
struct QemuObserver {
  let plan: MachinePlan
  let files: QemuFiles

  private func connect() throws(ConversationError) -> JSONConversation {
    var monitor = try JSONConversation(
      files.monitor, lineLimit: 1 << 20, until: .now + ComputeLimits.answer)
    try monitor.greet()
    return monitor
  }

  func observe(_ process: Int32) throws(ConversationError) -> MachineObservation {
    var monitor = try connect()
    let status = try monitor.ask("query-status")
    var seen = MachineObservation(status["running"]?.boolean == true ? .on : .paused)
    seen.process = process
    seen.started = (try? FileSystem.system.status(files.process))?.modified
    seen.name = try monitor.ask("query-name")["name"]?.text
    seen.cores = try monitor.ask("query-cpus-fast").list.count
    let memory = try monitor.ask("query-memory-size-summary")
    seen.memory = [memory["base-memory"], memory["plugged-memory"]]
      .reduce(0) { $0 + UInt64(max(0, $1?.number ?? 0)) }
    seen.isAccelerated = try monitor.ask("query-kvm")["enabled"]?.boolean
    seen.firmware =
      try Self.property("pflash0", of: "/machine", &monitor)?.text?.isEmpty == false ? .uefi : .bios
    seen.disks = try disks(&monitor, &seen.notes)
    seen.adapters = try adapters(&monitor)
    if seen.power == .paused, let word = status["status"]?.text {
      seen.notes.append("The machine is halted; QEMU calls it '\(word.prefix(100))'.")
    }
    return seen
  }

  private static func property(
    _ name: String, of path: String, _ monitor: inout JSONConversation
  ) throws(ConversationError) -> JSONValue? {
    do throws(ConversationError) {
      return try monitor.ask("qom-get", ["path": .text(path), "property": .text(name)])
    } catch {
      guard error.code == .refused else { throw error }
      return nil
    }
  }

  /// The disks by their place on the bus, which is how a guest counts them.
  private func disks(
    _ monitor: inout JSONConversation, _ notes: inout [String]
  ) throws(ConversationError) -> [MachineObservation.Disk] {
    var slots: [String: Int64] = [:]
    for bus in try monitor.ask("query-pci").list {
      for device in bus["devices"]?.list ?? [] {
        if let name = device["qdev_id"]?.text, name.hasPrefix("disk") {
          slots[name] = device["slot"]?.number
        }
      }
    }
    var found: [(slot: Int64, disk: MachineObservation.Disk)] = []
    for block in try monitor.ask("query-block").list {
      guard let device = block["qdev"]?.text,
        let name = device.split(separator: "/").first(where: { slots[String($0)] != nil }),
        let slot = slots[String(name)], let image = block["inserted"]?["image"]
      else { continue }
      let path = block["inserted"]?["file"]?.text ?? image["filename"]?.text ?? ""
      let place = try Self.property("bootindex", of: "/machine/peripheral/\(name)", &monitor)
      found.append(
        (
          slot,
          MachineObservation.Disk(
            path: path, size: UInt64(max(0, image["virtual-size"]?.number ?? 0)),
            isSystem: place?.number == 0)
        ))
      if let state = block["io-status"]?.text, state != "ok" {
        notes.append("The disk '\(path)' has errors: '\(state.prefix(100))'.")
      }
    }
    return found.sorted { $0.slot < $1.slot }.map(\.disk)
  }

  private func adapters(
    _ monitor: inout JSONConversation
  ) throws(ConversationError) -> [MachineObservation.Adapter] {
    let listing = try Self.human("info network", &monitor)
    var found: [MachineObservation.Adapter] = []
    for (index, planned) in plan.adapters.enumerated() {
      let device = "/machine/peripheral/adapter\(index)"
      guard let text = try Self.property("mac", of: device, &monitor)?.text,
        let hardware = HardwareAddress(text.lowercased())
      else { continue }
      let network = Self.network(index, listing, planned: planned.network)
      found.append(
        MachineObservation.Adapter(
          network: network, hardware: hardware,
          address: network.isObserved ? try address(index, hardware, &monitor) : .notObserved))
    }
    return found
  }

  /// What QEMU says that an adapter is connected with; it knows no name of a bridge.
  static func network(
    _ index: Int, _ listing: String, planned: MachinePlan.Network
  ) -> MachinePlan.Network {
    let line = listing.split(whereSeparator: \.isNewline).first {
      $0.contains("net\(index): index=")
    }
    guard let line else { return planned }
    if line.contains("type=user") { return line.contains("restrict=on") ? .isolated : .user }
    return planned
  }

  /// What the newest frames show, else what was seen before.
  private func address(
    _ index: Int, _ hardware: HardwareAddress, _ monitor: inout JSONConversation
  ) throws(ConversationError) -> MachineObservation.Address {
    let answer = try monitor.ask(
      "ringbuf-read",
      [
        "device": .text("ring\(index)"), "size": .number(Int64(QemuArguments.ringSize)),
        "format": .text("base64"),
      ])
    let frames = answer.text.flatMap { Data(base64Encoded: $0) } ?? Data()
    let before = stored(index)
    guard let now = FrameRing(hardware: hardware).address(in: Array(frames)), now != before else {
      return before
    }
    // That an address was given says less than that it, the same one, was used before.
    if case .leased(let given) = now, before == .used(given) { return before }
    if let bytes = try? JSONEncoder().encode(now) {
      try? FileSystem.system.replaceFile(
        files.address(index), with: Array(bytes), permissions: 0o600)
    }
    return now
  }

  private func stored(_ index: Int) -> MachineObservation.Address {
    guard let bytes = try? FileSystem.system.readFile(files.address(index), limit: 4096),
      let address = try? JSONDecoder().decode(
        MachineObservation.Address.self, from: Data(bytes))
    else { return .notSeen }
    return address
  }

  private static func human(
    _ line: String, _ monitor: inout JSONConversation
  ) throws(ConversationError) -> String {
    try monitor.ask("human-monitor-command", ["command-line": .text(line)]).text ?? ""
  }

  /// The ports that lead to the machine.
  func ports() throws(ConversationError) -> [MachineConnections.Port] {
    var monitor = try connect()
    return Self.ports(in: try human(&monitor))
  }

  private func human(_ monitor: inout JSONConversation) throws(ConversationError) -> String {
    try Self.human("info usernet", &monitor)
  }

  /// Reads the listing of connections: after a line with the adapter's network in brackets one for each.
  static func ports(in listing: String) -> [MachineConnections.Port] {
    var adapter: Int?
    var found: [MachineConnections.Port] = []
    for line in listing.split(whereSeparator: \.isNewline) {
      if let match = line.firstMatch(of: /\(net(\d+)\)/) { adapter = Int(match.1) }
      let words = line.split(separator: " ")
      guard words.first == "TCP[HOST_FORWARD]", words.count >= 6, let adapter,
        let host = UInt16(words[3]), let guest = UInt16(words[5])
      else { continue }
      found.append(MachineConnections.Port(host: host, guest: guest, adapter: adapter))
    }
    return found
  }
}
