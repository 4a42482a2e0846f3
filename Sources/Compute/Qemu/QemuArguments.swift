internal import Bytes
internal import FoundationEssentials
internal import MachineSockets

/// The command line of a machine (qemu-system-x86_64(1)).
///
/// It runs as the user of the service. Its filter of system calls (`-sandbox`) keeps it from starting programs
/// and from becoming anybody else, but not from other files of that user: `-runas` would need both that call
/// and a directory that the other user can remove its files from.
///
/// What is durable: the disks are opened through the page cache (`cache.direct=off`), and the guest sees a
/// disk with a write cache. When it flushes, QEMU calls fdatasync(2) on the file, which is what makes a
/// branch durable, and answers after that; `cache.no-flush` is never set. A guest's discard reaches the file
/// as fallocate(2). O_DIRECT would promise no more than that, and would take the kernel's read-ahead away.
struct QemuArguments {
  /// Where disks and adapters begin on the PCI bus, so that the guest finds them in order.
  static let (firstDiskSlot, firstAdapterSlot) = (4, 20)
  /// How many disks and adapters there is room for.
  static let (diskLimit, adapterLimit) = (16, 8)
  /// Bytes of frames that are kept of each adapter.
  static let ringSize = 64 << 10

  let plan: MachinePlan
  let files: QemuFiles
  let acceleration: Acceleration
  /// The firmware's code; only for UEFI.
  let firmware: String?

  /// Everything behind the program's name.
  func all() throws(ComputeError) -> [String] {
    var arguments = machine()
    for (index, disk) in plan.disks.enumerated() { arguments += self.disk(disk, index) }
    for (index, adapter) in plan.adapters.enumerated() {
      arguments += try self.adapter(adapter, index)
    }
    return arguments + connections()
  }

  private var needsHelper: Bool {
    plan.adapters.contains { if case .bridge = $0.network { true } else { false } }
  }

  private func machine() -> [String] {
    let type = firmware == nil ? "pc" : "q35,pflash0=uefi-code,pflash1=uefi-variables"
    // What gets hold of QEMU can't start programs, unless a bridge needs the one that opens it.
    let spawning = needsHelper ? "allow" : "deny"
    var arguments = [
      "-name", "guest=" + Self.escaped(plan.name), "-uuid", plan.identifier.description,
      "-no-user-config", "-nodefaults", "-S", "-pidfile", files.process,
      "-sandbox",
      "on,obsolete=deny,elevateprivileges=\(spawning),spawn=\(spawning),resourcecontrol=deny",
      "-machine", "\(type),accel=\(acceleration.name)", "-cpu", acceleration.processor,
      "-smp", "\(plan.cores),sockets=1,cores=\(plan.cores),threads=1",
      "-m", "\(plan.memory >> 20)M", "-rtc", "base=utc",
      "-device", "VGA,addr=2", "-device", "virtio-rng-pci,addr=3",
    ]
    if let firmware {
      for (node, path, isFixed) in [
        ("uefi-code", firmware, true), ("uefi-variables", files.variables, false),
      ] {
        arguments += [
          "-blockdev",
          Self.json([
            "driver": .text("raw"), "node-name": .text(node), "read-only": .boolean(isFixed),
            "file": .object([
              "driver": .text("file"), "filename": .text(path), "read-only": .boolean(isFixed),
            ]),
          ]),
        ]
      }
    }
    return arguments
  }

  private func disk(_ disk: MachinePlan.Disk, _ index: Int) -> [String] {
    let driver = disk.path.hasPrefix("/dev/") ? "host_device" : "file"
    let node = Self.json([
      "driver": .text("raw"), "node-name": .text("node\(index)"), "discard": .text("unmap"),
      "file": .object([
        "driver": .text(driver), "filename": .text(disk.path), "discard": .text("unmap"),
        "aio": .text("threads"),
        "cache": .object(["direct": .boolean(false), "no-flush": .boolean(false)]),
      ]),
    ])
    // Only the system disk is tried first; without one all are, in order.
    let place = disk.isSystem ? 0 : index + 1
    return [
      "-blockdev", node, "-device",
      "virtio-blk-pci,id=disk\(index),drive=node\(index),write-cache=on,bootindex=\(place),"
        + "addr=\(Self.place(Self.firstDiskSlot + index)),serial=\(Self.serial(disk.name))",
    ]
  }

  private func adapter(
    _ adapter: MachinePlan.Adapter, _ index: Int
  ) throws(ComputeError) -> [String] {
    var arguments = ["-netdev"]
    switch adapter.network {
    case .bridge(let name): arguments += ["bridge,id=net\(index),br=\(Self.escaped(name))"]
    case .isolated, .user:
      guard let subnet = adapter.subnet,
        let places = AddressPlaces(subnet, wanted: adapter.address)
      else {
        throw ComputeError(
          .plan, "Adapter \(index + 1) of '\(plan.name)' has no address to be given.")
      }
      arguments += ["user,id=net\(index),ipv6=off," + places.options + ways(adapter)]
    }
    arguments += [
      "-device",
      "virtio-net-pci,id=adapter\(index),netdev=net\(index),mac=\(adapter.hardware),"
        + "addr=\(Self.place(Self.firstAdapterSlot + index)),romfile=",
    ]
    // (Without a ROM nothing boots from the network.)
    guard adapter.network.isObserved else { return arguments }
    return arguments + [
      "-chardev", "ringbuf,id=ring\(index),size=\(Self.ringSize)",
      "-object", "filter-mirror,id=mirror\(index),netdev=net\(index),queue=all,outdev=ring\(index)",
    ]
  }

  private func ways(_ adapter: MachinePlan.Adapter) -> String {
    // What is forwarded is let in all the same.
    let walls = adapter.network == .isolated ? ",restrict=on" : ""
    return adapter.forwards.reduce(walls) {
      $0 + ",hostfwd=tcp:127.0.0.1:\($1.host)-:\($1.guest)"
    }
  }

  private func connections() -> [String] {
    [
      "-chardev",
      "socket,id=console,path=\(Self.escaped(files.serial)),server=on,wait=off,"
        + "logfile=\(Self.escaped(files.console)),logappend=on",
      "-serial", "chardev:console",
      "-display", "none", "-vnc", "unix:" + Self.escaped(files.display),
      "-qmp", "unix:\(Self.escaped(files.monitor)),server=on,wait=off",
    ]
  }

  /// A slot of the bus, which QEMU wants in hexadecimal digits.
  private static func place(_ slot: Int) -> String { String(slot, radix: 16) }

  /// A value of an option in the form `name=value,…`.
  static func escaped(_ text: String) -> String { text.replacing(",", with: ",,") }

  /// What the guest sees of a disk's name (the virtio specification: 20 bytes).
  static func serial(_ name: String) -> String {
    let kept = name.unicodeScalars.filter {
      $0.isASCII && ($0.properties.isAlphabetic || "0123456789-_".unicodeScalars.contains($0))
    }
    return String(String.UnicodeScalarView(kept.prefix(20)))
  }

  private static func json(_ members: [String: JSONValue]) -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    // Texts and flags always can be written down.
    let bytes = (try? encoder.encode(JSONValue.object(members))) ?? Data()
    return String(decoding: bytes, as: UTF8.self)
  }
}

/// Which addresses of a network the host's side takes, so that the machine gets the one it is to have.
struct AddressPlaces: Hashable {
  let subnet: IPv4Subnet
  /// What the machine gets: the DHCP server gives its first address to whoever asks first, and only the
  /// machine can ask.
  let machine: IPv4Address
  /// The gateway and DHCP server, and the name server.
  let host, names: IPv4Address

  /// Nil if there is no room, or the machine can't have that address.
  init?(_ subnet: IPv4Subnet, wanted: IPv4Address?) {
    guard subnet.prefix <= 29, wanted.map({ subnet.hasHost($0) }) ?? true else { return nil }
    let first = subnet.base.bits
    let machine = wanted ?? IPv4Address(bits: first + 4)
    let free = (1...4).map { IPv4Address(bits: first + $0) }.filter { $0 != machine }
    (self.subnet, self.machine, host, names) = (subnet, machine, free[0], free[1])
  }

  var options: String { "net=\(subnet),host=\(host),dns=\(names),dhcpstart=\(machine)" }
}

extension MachinePlan.Network {
  /// Whether the frames of an adapter can be looked at.
  var isObserved: Bool {
    switch self {
    case .isolated, .user: true
    case .bridge: false
    }
  }
}
