public import Compute

/// Says what would keep a guest from starting, or somebody from logging in, on the machine that is planned for
/// it. Nothing here is more than a warning: the guest may know better.
public struct GuestCheck {
  private let facts: GuestFacts
  private let plan: MachinePlan

  /// Holds the facts of a guest against a plan whose disks are those of the facts, in the same order.
  public init(_ facts: GuestFacts, _ plan: MachinePlan) { (self.facts, self.plan) = (facts, plan) }

  /// A finding for each thing that was looked at.
  public func findings() -> [ComputeFinding] {
    [
      bootLoader(), otherLoaders(), kernel(), diskDriver(), networkDriver(), console(), login(),
      devices(), addresses(),
    ].compactMap { $0 }
  }

  private var systemDisk: Int { plan.disks.firstIndex(where: \.isSystem) ?? 0 }

  /// The number that people know a disk by: its place among the guest's may be another.
  private func number(of place: Int) -> String {
    guard plan.disks.indices.contains(place) else { return "\(place)" }
    let name = plan.disks[place].name
    return name.hasPrefix("disk") ? String(name.dropFirst(4)) : name
  }

  private func bootLoader() -> ComputeFinding {
    let (subject, number) = ("bootLoader", number(of: systemDisk))
    guard facts.disks.indices.contains(systemDisk) else {
      return ComputeFinding(subject, .notChecked, "The OS disk was not looked at.")
    }
    let disk = facts.disks[systemDisk]
    if plan.firmware == .uefi {
      return Self.finding(subject, disk.systemPartition) { partition in
        partition == 0
          ? ComputeFinding(
            subject, .warning, "Disk \(number), the OS disk, has no EFI system partition.",
            advice: "Choose the disk that has one, or BIOS, with 'tidemark machine set'.")
          : ComputeFinding(
            subject, .notChecked,
            "Disk \(number), the OS disk, has an EFI system partition, \(partition); what is on it was not "
              + "read.")
      }
    }
    return Self.finding(subject, disk.loader) { loader in
      switch loader {
      case "none":
        ComputeFinding(
          subject, .warning, "Disk \(number), the OS disk, has no boot loader for BIOS.",
          advice: "Choose the disk that has one, or UEFI, with 'tidemark machine set'.")
      case "other":
        ComputeFinding(
          subject, .notChecked, "Disk \(number), the OS disk, has a boot record of an unknown kind."
        )
      default: ComputeFinding(subject, .ok, "Disk \(number), the OS disk, has '\(loader)'.")
      }
    }
  }

  private func otherLoaders() -> ComputeFinding? {
    let able = facts.disks.indices.filter { index in
      let disk = facts.disks[index]
      return plan.firmware == .uefi
        ? (disk.systemPartition.value ?? 0) != 0 : (disk.loader.value ?? "none") != "none"
    }
    guard able.count > 1 else { return nil }
    let numbers = able.map { number(of: $0) }.sorted().joined(separator: ", ")
    return ComputeFinding(
      "bootLoaders", .warning,
      "Disks \(numbers) could all start the machine; disk \(number(of: systemDisk)) is the OS disk.",
      advice: "Look whether that is the right one; set another with 'tidemark machine set'.")
  }

  private func kernel() -> ComputeFinding {
    Self.finding("kernel", facts.kernels) { kernels in
      guard let newest = kernels.last else {
        return ComputeFinding("kernel", .warning, "The guest has no kernel where one is expected.")
      }
      return Self.finding("kernel", facts.initialFileSystems) { found in
        found.contains(newest)
          ? ComputeFinding("kernel", .ok, "Kernel \(newest), with its initial file system.")
          : ComputeFinding(
            "kernel", .warning, "Kernel \(newest) has no initial file system beside it.",
            advice: "Make one in the guest, such as with 'update-initramfs' or 'dracut'.")
      }
    }
  }

  private func diskDriver() -> ComputeFinding {
    Self.finding("diskDriver", facts.diskDriver) { driver in
      switch driver {
      case .builtIn: ComputeFinding("diskDriver", .ok, "The kernel has virtio's disks built in.")
      case .module:
        ComputeFinding(
          "diskDriver", .notChecked,
          "The kernel has virtio's disks as a module; whether its initial file system has it was not read."
        )
      case .absent:
        ComputeFinding(
          "diskDriver", .warning, "The newest kernel has no driver for virtio's disks.",
          advice: "Install a kernel in the guest that has it; it would not find its root.")
      }
    }
  }

  private func networkDriver() -> ComputeFinding {
    Self.finding("networkDriver", facts.networkDriver) { driver in
      driver == .absent
        ? ComputeFinding(
          "networkDriver", .warning, "The newest kernel has no driver for virtio's network.",
          advice: "Install a kernel in the guest that has it.")
        : ComputeFinding("networkDriver", .ok, "The kernel has a driver for virtio's network.")
    }
  }

  private func console() -> ComputeFinding {
    Self.finding("serialConsole", facts.serialConsole) { isThere in
      isThere
        ? ComputeFinding("serialConsole", .ok, "The kernel writes to the serial console.")
        : ComputeFinding(
          "serialConsole", .warning, "The kernel does not write to the serial console.",
          advice:
            "Add 'console=ttyS0' to its command line in the guest, or look at the screen (VNC).")
    }
  }

  private func login() -> ComputeFinding {
    Self.finding("serialLogin", facts.serialLogin) { isThere in
      isThere
        ? ComputeFinding("serialLogin", .ok, "One can log in at the serial console.")
        : ComputeFinding(
          "serialLogin", .warning, "Nobody can log in at the serial console.",
          advice:
            "Run 'systemctl enable serial-getty@ttyS0' in the guest, or look at the screen (VNC).")
    }
  }

  /// The machine's disks are virtio's: other names are not there.
  private func devices() -> ComputeFinding {
    Self.finding("devices", facts.namedDevices) { names in
      let strange = names.filter { !$0.contains("/dev/vd") }
      if !strange.isEmpty {
        return ComputeFinding(
          "devices", .warning,
          "The guest mounts \(strange.joined(separator: ", ")), which will have another name.",
          advice: "Use UUID= in the guest's /etc/fstab and boot loader.")
      }
      return names.isEmpty
        ? ComputeFinding("devices", .ok, "The guest mounts by UUID or label.")
        : ComputeFinding(
          "devices", .ok,
          "The guest mounts \(names.joined(separator: ", ")), as virtio's disks are named.")
    }
  }

  private func addresses() -> ComputeFinding {
    Self.finding("addresses", facts.staticAddresses) { list in
      let subnets = plan.adapters.compactMap(\.subnet)
      let strange = list.filter { entry in
        guard let address = IPv4Address(entry.address) else { return true }
        return !subnets.contains { $0.contains(address) }
      }
      if list.isEmpty {
        return ComputeFinding("addresses", .ok, "The guest gives itself no address.")
      }
      guard !subnets.isEmpty else {
        return ComputeFinding(
          "addresses", .notChecked,
          "The guest gives itself addresses, and no network with a subnet is planned for it.")
      }
      guard let first = strange.first else {
        return ComputeFinding(
          "addresses", .warning,
          "The guest gives itself the address \(list[0].address) ('\(list[0].source)'), whatever is planned.",
          advice: "Have it use DHCP, or plan the same address.")
      }
      return ComputeFinding(
        "addresses", .warning,
        "The guest gives itself the address \(first.address) ('\(first.source)'), which is outside the target "
          + "network.",
        advice: "Give the adapter a network that has it, or have the guest use DHCP.")
    }
  }

  private static func finding<Value>(
    _ subject: String, _ fact: Fact<Value>, _ body: (Value) -> ComputeFinding
  ) -> ComputeFinding {
    switch fact {
    case .notChecked(let reason): return ComputeFinding(subject, .notChecked, reason)
    case .known(let value, let source):
      var finding = body(value)
      let words = " (Source: \(source).)"
      // A finding out of two facts of one source names it once.
      if finding.verdict != .notChecked, !finding.found.hasSuffix(words) { finding.found += words }
      return finding
    }
  }
}
