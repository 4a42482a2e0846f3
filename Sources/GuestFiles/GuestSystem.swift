/// Reads the facts of a Linux from its root file system, and from the one for `/boot` if that is another.
struct GuestSystem {
  private static let listLimit = 32
  let root: ExtFileSystem
  let boot: ExtFileSystem?
  /// Where the root is, for people.
  let place: String

  func fill(_ facts: inout GuestFacts) {
    facts.system = fact("/etc/os-release", name)
    facts.hostName = fact("/etc/hostname") { () throws(Unreadable) in
      try root.lines("/etc/hostname")?.first.map { Self.cut($0) }
    }
    let kernels = self.kernels()
    facts.kernels = kernels
    facts.initialFileSystems = initialFileSystems(kernels.value ?? [])
    facts.diskDriver = driver("virtio_blk", kernels.value?.last)
    facts.networkDriver = driver("virtio_net", kernels.value?.last)
    let commands = KernelCommands(root: root, boot: boot).found()
    facts.serialConsole = Self.console(commands)
    facts.serialLogin = login(facts.serialConsole.value)
    facts.namedDevices = namedDevices(commands)
    facts.staticAddresses = StaticAddresses(root: root).found()
  }

  static func cut(_ text: some StringProtocol) -> String {
    String(
      text.unicodeScalars.filter { $0.value >= 32 && $0.value != 127 }.prefix(200).map(
        Character.init))
  }

  /// A fact of one file.
  private func fact<Value>(
    _ path: String, _ body: () throws(Unreadable) -> Value?
  ) -> Fact<Value> {
    do throws(Unreadable) {
      guard let value = try body() else { return .notChecked("There is no '\(path)' on \(place).") }
      return .known(value, source: path)
    } catch { return .notChecked(Self.reason(error)) }
  }

  static func reason(_ error: Unreadable) -> String { "'\(error.path)' can't be read." }

  private func name() throws(Unreadable) -> String? {
    for path in ["/etc/os-release", "/usr/lib/os-release"] {
      for line in try root.lines(path) ?? [] where line.hasPrefix("PRETTY_NAME=") {
        return Self.cut(line.dropFirst(12).filter { $0 != "\"" && $0 != "'" })
      }
    }
    return nil
  }

  /// The files for starting, and the file system and path where they are.
  private func bootNames() throws(Unreadable) -> (names: [String], source: String) {
    let inside = try root.names("/boot") ?? []
    if inside.contains(where: { $0.hasPrefix("vmlinuz") }) { return (inside, "/boot on \(place)") }
    return (
      try boot?.names("/") ?? inside, boot == nil ? "/boot on \(place)" : "the /boot file system"
    )
  }

  private func kernels() -> Fact<[String]> {
    do throws(Unreadable) {
      let (names, source) = try bootNames()
      let versions = names.filter { $0.hasPrefix("vmlinuz-") && !$0.contains("rescue") }
        .map { Self.cut($0.dropFirst("vmlinuz-".count)) }
      return .known(Array(versions.sorted(by: Self.isOlder).suffix(Self.listLimit)), source: source)
    } catch { return .notChecked(Self.reason(error)) }
  }

  /// Versions by their numbers: 6.9 comes before 6.10.
  static func isOlder(_ one: String, _ other: String) -> Bool {
    let split = { (text: String) in text.split { !$0.isNumber }.map { Int($0) ?? .max } }
    let (left, right) = (split(one), split(other))
    return left == right ? one < other : left.lexicographicallyPrecedes(right)
  }

  private func initialFileSystems(_ kernels: [String]) -> Fact<[String]> {
    do throws(Unreadable) {
      let (names, source) = try bootNames()
      let known = Set(names)
      let found = kernels.filter { version in
        ["initrd.img-\(version)", "initramfs-\(version).img", "initrd-\(version)"]
          .contains { known.contains($0) }
      }
      return .known(found, source: source)
    } catch { return .notChecked(Self.reason(error)) }
  }

  private func driver(_ name: String, _ version: String?) -> Fact<GuestFacts.Driver> {
    guard let version else { return .notChecked("No kernel was found.") }
    do throws(Unreadable) {
      for modules in ["/usr/lib/modules/\(version)", "/lib/modules/\(version)"] {
        guard let built = try root.bytes(modules + "/modules.builtin"),
          let loaded = try root.bytes(modules + "/modules.dep")
        else { continue }
        if Self.contains(built, "/\(name).ko") {
          return .known(.builtIn, source: modules + "/modules.builtin")
        }
        let isThere = Self.contains(loaded, "/\(name).ko")
        return .known(isThere ? .module : .absent, source: modules + "/modules.dep")
      }
      return .notChecked("The lists of modules of kernel \(version) are not there.")
    } catch { return .notChecked(Self.reason(error)) }
  }

  private static func contains(_ bytes: [UInt8], _ text: String) -> Bool {
    bytes.split(separator: UInt8(ascii: "\n")).contains { line in
      // Before the colon stands the module, behind it those that it needs.
      let module = line.prefix { $0 != UInt8(ascii: ":") }
      return String(decoding: module, as: UTF8.self).contains(text)
    }
  }

  private static func console(_ commands: Fact<[String]>) -> Fact<Bool> {
    switch commands {
    case .notChecked(let reason): return .notChecked(reason)
    case .known(let lines, let source):
      let first = lines.first.map {
        $0.split(separator: " ").contains { $0.hasPrefix("console=ttyS0") }
      }
      return .known(first ?? false, source: source)
    }
  }

  /// systemd starts a login on the console that the kernel was given (systemd-getty-generator(8)).
  private func login(_ hasConsole: Bool?) -> Fact<Bool> {
    let unit = "serial-getty@ttyS0.service"
    let wanted = "/etc/systemd/system/getty.target.wants/\(unit)"
    if root.has(wanted) { return .known(true, source: wanted) }
    let isSystemd = root.has("/lib/systemd/systemd") || root.has("/usr/lib/systemd/systemd")
    guard isSystemd else {
      do throws(Unreadable) {
        let lines = try root.lines("/etc/inittab") ?? []
        guard !lines.isEmpty else { return .notChecked("The guest's init is not known.") }
        return .known(lines.contains { $0.contains("ttyS0") }, source: "/etc/inittab")
      } catch { return .notChecked(Self.reason(error)) }
    }
    // A masked unit is a link to /dev/null, which is nothing on this disk.
    guard let names = try? root.names("/etc/systemd/system"), !names.contains(unit) else {
      return .known(false, source: "/etc/systemd/system/\(unit)")
    }
    guard let hasConsole else { return .notChecked("The kernel's command line is not known.") }
    return .known(hasConsole, source: "systemd, and the kernel's command line")
  }

  private func namedDevices(_ commands: Fact<[String]>) -> Fact<[String]> {
    do throws(Unreadable) {
      guard let lines = try root.lines("/etc/fstab") else {
        return .notChecked("There is no '/etc/fstab' on \(place).")
      }
      var found = lines.compactMap { $0.split(whereSeparator: \.isWhitespace).first }
        .filter { Self.isNamed($0) }.map { Self.cut($0) }
      for word in (commands.value?.first ?? "").split(separator: " ")
      where word.hasPrefix("root=") && Self.isNamed(word.dropFirst(5)) {
        found.append(Self.cut(word))
      }
      return .known(
        Array(found.prefix(Self.listLimit)), source: "/etc/fstab and the kernel's command line")
    } catch { return .notChecked(Self.reason(error)) }
  }

  /// Whether a device's name comes from its driver and its place.
  private static func isNamed(_ device: Substring) -> Bool {
    ["sd", "hd", "vd", "xvd", "nvme", "mmcblk"].contains { device.hasPrefix("/dev/" + $0) }
  }
}

/// What a boot loader gives the kernel.
struct KernelCommands {
  private static let files = [
    "extlinux/extlinux.conf", "syslinux/syslinux.cfg", "grub/grub.cfg", "grub2/grub.cfg",
  ]
  let root: ExtFileSystem
  let boot: ExtFileSystem?

  /// The command lines of a boot loader's configuration, the default one first as far as that is the first one.
  func found() -> Fact<[String]> {
    do throws(Unreadable) {
      for (system, prefix) in [(root, "/boot/"), (boot, "/"), (root, "/")] {
        guard let system else { continue }
        for file in Self.files {
          guard let lines = try system.lines(prefix + file) else { continue }
          let commands = Self.commands(lines)
          if !commands.isEmpty { return .known(commands, source: prefix + file) }
        }
        if let found = try entries(system, prefix + "loader/entries") { return found }
      }
      return .notChecked("No boot loader's configuration was found that can be read.")
    } catch { return .notChecked(GuestSystem.reason(error)) }
  }

  /// Words behind `APPEND` (extlinux), behind the kernel of `linux` (GRUB).
  private static func commands(_ lines: [Substring]) -> [String] {
    var found: [String] = []
    for line in lines {
      let words = line.split(whereSeparator: \.isWhitespace)
      guard let first = words.first?.lowercased() else { continue }
      if first == "append" {
        found.append(words.dropFirst().joined(separator: " "))
      } else if ["linux", "linux16", "linuxefi"].contains(first), words.count > 2 {
        found.append(words.dropFirst(2).joined(separator: " "))
      }
      if found.count == 32 { break }
    }
    return found
  }

  /// Entries of the Boot Loader Specification, the last name first, as it is the newest.
  private func entries(
    _ system: ExtFileSystem, _ directory: String
  ) throws(Unreadable) -> Fact<[String]>? {
    var found: [String] = []
    let names = try system.names(directory) ?? []
    for name in names.reversed().prefix(32) where name.hasSuffix(".conf") {
      for line in try system.lines("\(directory)/\(name)") ?? [] where line.hasPrefix("options") {
        found.append(String(line.dropFirst("options".count)))
      }
    }
    return found.isEmpty ? nil : .known(found, source: directory)
  }
}
