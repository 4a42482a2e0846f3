internal import Catalog
internal import Compute
internal import FileIO
internal import Vault

extension VaultService {
  /// Looks whether machines could be recovered here: room for what they write, networks to join, and what
  /// starting them takes. Blocks for some seconds at the most.
  public func checkTarget() throws(OperationError) -> [HostFinding] {
    let networks = try networks()
    return [try storeFinding()] + [Self.finding(of: networks)]
      + networks.flatMap { status in
        status.warnings.map { HostFinding("network \(status.network.name)", .warning, $0) }
      } + Self.findings(of: QemuCompute().check(nil))
  }

  /// Looks whether that machine could be recovered here, as it is set. Blocks for some seconds at the most.
  ///
  /// - Throws: `.unknown`.
  public func checkTarget(of name: String) throws(OperationError) -> [HostFinding] {
    let target = try target(of: name)
    let networks = try networks()
    let plan = target.plan(disks: [:], in: "/run", joining: nil, isDrill: false)
    // Where its disks and sockets will be is not known before it is recovered.
    let provider = QemuCompute().check(plan).filter { $0.subject != "plan" }
    var findings = [try storeFinding(), Self.finding(of: networks)] + Self.findings(of: provider)
    if target.diskOrder.isEmpty {
      findings.append(
        HostFinding(
          "disks", .refused, "The machine has no disk",
          advice: "Add one with 'tidemark agent add-disk' there."))
    }
    let warnings = target.warnings
    return findings
      + (warnings.isEmpty
        ? [HostFinding("machine \(name)", .ok, target.summary)]
        : warnings.map { HostFinding("machine \(name)", .warning, $0) })
  }

  /// - Throws: `.refused` with what keeps any machine from being recovered here.
  func refuseWithoutTarget(_ name: String) throws(OperationError) {
    let failed = try [storeFinding(), Self.finding(of: networks())].filter {
      $0.verdict == .refused
    }
    guard !failed.isEmpty else { return }
    throw OperationError(
      .refused,
      "'\(name)' can't be protected, for it could not be recovered: "
        + failed.map { "\($0.subject): \($0.found). \($0.advice ?? "")" }.joined(separator: " "))
  }

  /// Whether what recovered machines write has room in the vault.
  private func storeFinding() throws(OperationError) -> HostFinding {
    let space = try inVault { () throws(VaultError) in try vault.space() }
    let found = "\(space.free >> 20) of \(space.total >> 20) MiB free in '\(vault.path)'"
    let reserve = Vault.reserve(of: space.total)
    guard space.free > reserve else {
      return HostFinding(
        "store", .refused, found + ", and \(reserve >> 20) are kept to mend a full vault",
        advice: "Make room there, or make a vault where there is some with 'tidemark vault init'.")
    }
    guard space.free - reserve >= HostCheck.spaceWanted else {
      return HostFinding(
        "store", .warning, found,
        advice: "What a recovered machine writes is kept there too: make room.")
    }
    return HostFinding("store", .ok, found)
  }

  /// What the provider lacks keeps nobody from having the disks: it is no more than a warning.
  private static func findings(of provider: [ComputeFinding]) -> [HostFinding] {
    provider.map { finding in
      let verdict: HostFinding.Verdict =
        switch finding.verdict {
        case .ok: .ok
        case .warning, .failed: .warning
        case .notChecked: .notChecked
        }
      return HostFinding(finding.subject, verdict, finding.found, advice: finding.advice)
    }
  }

  private static func finding(of networks: [NetworkStatus]) -> HostFinding {
    guard !networks.isEmpty else {
      return HostFinding(
        "network", .refused, "There is none",
        advice: "Make one with 'tidemark network create \(NetworkRecord.usualName) --isolated'.")
    }
    let names = networks.map { "\($0.network.name) (\($0.network.kind.rawValue))" }
    let found = names.joined(separator: ", ")
    guard networks.contains(where: { $0.network.kind == .isolated }) else {
      return HostFinding(
        "network", .warning,
        "\(found), but none that is isolated: no drill starts a machine without --network",
        advice: "Make one for drills with 'tidemark network create \(NetworkRecord.usualName) "
          + "--isolated'.")
    }
    return HostFinding("network", .ok, found)
  }
}

extension TargetProperties {
  fileprivate var summary: String {
    let places = adapters.compactMap { adapter in
      adapter.network.map { "\($0.name) \(adapter.address ?? "dhcp")" }
    }
    return "\(cores) cores, \(memory) MiB, \(firmware.rawValue), "
      + places.joined(separator: ", ")
  }
}
