internal import FileIO
internal import FoundationEssentials

/// What a host lacks to run QEMU's machines, and what of a plan can't be carried out.
struct QemuCheck {
  private let program: String?
  private let plan: MachinePlan?

  init(_ program: String?, _ plan: MachinePlan?) { (self.program, self.plan) = (program, plan) }

  func findings() -> [ComputeFinding] {
    hostFindings() + [acceleration()] + memory() + planFindings()
  }

  /// What has to be installed.
  func hostFindings() -> [ComputeFinding] {
    [qemu()] + firmware() + bridges()
  }

  private func qemu() -> ComputeFinding {
    let advice = "Install it: 'apt install qemu-system-x86'."
    guard let program else {
      return ComputeFinding("qemu", .failed, "qemu-system-x86_64 is not installed.", advice: advice)
    }
    do {
      var child = try ChildProcess(
        program, [program, "--version"], environment: QemuCompute.environment, .output)
      defer { child.end() }
      let (status, output) = try child.run(limit: 4096, until: .now + .seconds(5))
      let line = output.split(separator: "\n").first.map { String($0.prefix(200)) } ?? ""
      guard status == 0 else {
        let end = status.map { "ends with status \($0)" } ?? "does not end"
        return ComputeFinding(
          "qemu", .failed, "'\(program) --version' \(end): \(line)", advice: "Install it anew.")
      }
      return ComputeFinding("qemu", .ok, "\(line), '\(program)'.")
    } catch {
      return ComputeFinding("qemu", .failed, "\(error)", advice: advice)
    }
  }

  private func acceleration() -> ComputeFinding {
    guard let program, FileSystem.system.exists(program) else {
      return ComputeFinding("kvm", .notChecked, "There is no QEMU to try it with.")
    }
    let result = AccelerationProbe.shared.result(program)
    return ComputeFinding(
      "kvm", result.acceleration.isDirect ? .ok : .warning, result.found, advice: result.advice)
  }

  private func firmware() -> [ComputeFinding] {
    guard plan?.firmware == .uefi else { return [] }
    guard let found = Firmware.installed() else {
      return [
        ComputeFinding(
          "uefi", .failed, "UEFI for QEMU (OVMF) is not installed.",
          advice: "Install it: 'apt install ovmf'.")
      ]
    }
    return [ComputeFinding("uefi", .ok, "'\(found.code)'.")]
  }

  private func bridges() -> [ComputeFinding] {
    let names = plan?.adapters.compactMap {
      if case .bridge(let name) = $0.network { name } else { nil }
    }
    return (names ?? []).map { name in
      let helper = "/usr/lib/qemu/qemu-bridge-helper"
      guard FileSystem.system.exists("/sys/class/net/\(name)/bridge") else {
        return ComputeFinding(
          "bridge", .failed, "This host has no bridge '\(name)'.",
          advice: "Make it, or give the adapter another network.")
      }
      let allowed = (try? FileSystem.system.readFile("/etc/qemu/bridge.conf", limit: 1 << 16)) ?? []
      let lines = String(decoding: allowed, as: UTF8.self).split(separator: "\n")
      guard FileSystem.system.exists(helper), lines.contains(where: { Self.allows($0, name) })
      else {
        return ComputeFinding(
          "bridge", .failed, "QEMU may not use the bridge '\(name)'.",
          advice: "Add the line 'allow \(name)' to /etc/qemu/bridge.conf.")
      }
      return ComputeFinding("bridge", .ok, "'\(name)' is there, and QEMU may use it.")
    }
  }

  private static func allows(_ line: Substring, _ bridge: String) -> Bool {
    let words = line.split(separator: " ")
    return words.count == 2 && words[0] == "allow" && (words[1] == bridge || words[1] == "all")
  }

  /// Whether the host has the memory now: not having it makes both slow, or ends one.
  private func memory() -> [ComputeFinding] {
    guard let plan else { return [] }
    guard let bytes = try? File("/proc/meminfo", .reading).read(at: 0, count: 16 << 10),
      let line = String(decoding: bytes, as: UTF8.self).split(separator: "\n")
        .first(where: { $0.hasPrefix("MemAvailable:") }),
      let free = UInt64(line.filter { $0.isNumber })
    else { return [ComputeFinding("memory", .notChecked, "The host does not tell its memory.")] }
    let found = "\(free >> 10) MiB are free for the machine's \(plan.memory >> 20) MiB."
    return [
      free << 10 >= plan.memory
        ? ComputeFinding("memory", .ok, found)
        : ComputeFinding(
          "memory", .warning, found, advice: "Give the machine less, or stop something else.")
    ]
  }

  /// What of the plan can't be carried out.
  func planFindings() -> [ComputeFinding] {
    guard let plan else { return [] }
    func wrong(_ found: String, _ advice: String) -> ComputeFinding {
      ComputeFinding("plan", .failed, "'\(plan.name)': \(found)", advice: advice)
    }
    var findings: [ComputeFinding] = []
    if !QemuFiles(plan.directory).isUsable {
      findings.append(
        wrong("the path '\(plan.directory)' is too long for sockets.", "Use a shorter directory."))
    }
    if !(1...255 ~= plan.cores) {
      findings.append(wrong("it can't have \(plan.cores) cores.", "Give it 1 to 255."))
    }
    if plan.memory < 32 << 20 || plan.memory % (1 << 20) != 0 {
      findings.append(
        wrong("it can't have \(plan.memory) bytes of memory.", "Give it whole MiB, 32 or more."))
    }
    if plan.disks.isEmpty || plan.disks.count > QemuArguments.diskLimit {
      findings.append(
        wrong("it has \(plan.disks.count) disks.", "Give it 1 to \(QemuArguments.diskLimit)."))
    }
    if plan.disks.count(where: \.isSystem) > 1 {
      findings.append(wrong("it has more than one OS disk.", "Choose one."))
    }
    if plan.adapters.count > QemuArguments.adapterLimit {
      findings.append(
        wrong(
          "it has \(plan.adapters.count) adapters.",
          "Give it \(QemuArguments.adapterLimit) at the most."))
    }
    for (index, adapter) in plan.adapters.enumerated() where !Self.isPossible(adapter) {
      findings.append(
        wrong(
          "adapter \(index + 1) can't be given its address.",
          "Give it a network of 8 addresses or more, and one of them that is neither the first nor the "
            + "last."))
    }
    return findings
  }

  /// The disks that are not there. Not part of the check: it is made before anybody serves them.
  func missingDisks() -> [String] {
    (plan?.disks ?? []).map(\.path).filter { !FileSystem.system.exists($0) }
  }

  private static func isPossible(_ adapter: MachinePlan.Adapter) -> Bool {
    guard adapter.network.isObserved else { return true }
    return adapter.subnet.flatMap { AddressPlaces($0, wanted: adapter.address) } != nil
  }
}
