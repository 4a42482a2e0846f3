import Bytes
import Catalog
import FileIO
import Support
import Synchronization
import Testing
import Vault

@testable import Operations

/// Goal: whoever reads recovered disks, as a check of the vault at night does, leaves no recovery half done.
/// Method: real vaults and branches, which are held as such readers do.
@Suite struct RecoveryReadersTests {
  @Test("a drill is cleaned up while the vault is checked")
  func removed() throws {
    let site = try RecoverySite()
    #expect(try site.drill().state == .succeeded)
    let branch = try #require(try site.branches.first)
    let check = try BranchCheck(branch, in: site.site.vault)
    let cleanup = try site.end(
      try site.service.cleanUpTestFailover("web01", notes: nil, by: nil))
    #expect(cleanup.state == .succeeded, "\(cleanup)")
    #expect(try site.branches.isEmpty)
    withExtendedLifetime(check) {}
  }

  @Test("what a check found counts for the disks that a machine has, and not for former ones")
  func checked() throws {
    let site = try RecoverySite()
    #expect(try site.failover("p2").state == .succeeded)
    let former = try #require(try site.branches.first).description
    func damage() -> String? {
      site.service.health.current.first { error in
        error.subject == "web01" && error.code == HealthCode.disksDamaged.rawValue
      }?.message
    }
    try site.service.noteChecked("web01", branch: former, damage: "\u{1b}[2JIt is broken.")
    #expect(damage() == "[2JIt is broken.")
    let change = try site.end(
      try site.service.changeRecoveryPoint("web01", site.request("p1", confirmed: true), by: nil))
    #expect(change.state == .succeeded && damage() == nil, "\(change)")
    for text in ["It is broken.", nil] {
      _ = try site.refusal {
        try site.service.noteChecked("web01", branch: former, damage: text)
      }
    }
    #expect(damage() == nil)
    let now = try #require(try site.branches.first).description
    try site.service.noteChecked("web01", branch: now, damage: "It is broken.")
    try site.service.noteChecked("web01", branch: now, damage: nil)
    #expect(damage() == nil)
  }

  @Test("another point is chosen while the former disks are exported, which go at the next start")
  func changedPoint() throws {
    let site = try RecoverySite()
    #expect(try site.failover("p2").state == .succeeded)
    let former = try #require(try site.branches.first)
    do {
      let cut = try site.site.vault.readBranch(former)
      let change = try site.end(
        try site.service.changeRecoveryPoint(
          "web01", site.request("p1", confirmed: true), by: nil))
      #expect(change.state == .succeeded, "\(change)")
      #expect(try site.standing.state == .failedOver)
      #expect(try site.branches.contains(former) && site.branches.count == 2)
      withExtendedLifetime(cut) {}
    }
    try site.restart()
    #expect(try !site.branches.contains(former) && site.branches.count == 1)
    #expect(try site.standing.state == .failedOver)
  }

  @Test("who asks what another point discards is not told nothing of disks whose server hangs")
  func unknownLoss() throws {
    let site = try RecoverySite()
    #expect(try site.failover("p2").state == .succeeded)
    site.servers.state.withLock { $0.isSilent = true }
    let asked = try site.refusal {
      _ = try site.service.changeRecoveryPoint("web01", site.request("p1"), by: nil)
    }
    #expect(asked.contains("written to them is not known. The server"), "\(asked)")
    #expect(asked.contains("(process 77) does not answer") && !asked.contains("bytes"), "\(asked)")
  }

  @Test("disks that a change of point left as they were exported go with the failover")
  func discarded() throws {
    let site = try RecoverySite()
    #expect(try site.failover("p2").state == .succeeded)
    let former = try #require(try site.branches.first)
    do {
      let cut = try site.site.vault.readBranch(former)
      let change = try site.end(
        try site.service.changeRecoveryPoint(
          "web01", site.request("p1", confirmed: true), by: nil))
      #expect(change.state == .succeeded && change.error == nil, "\(change)")
      withExtendedLifetime(cut) {}
    }
    #expect(try site.branches.count == 2)
    let commit = try site.end(
      try site.service.commitFailover("web01", completesMigration: true, by: nil))
    #expect(commit.state == .succeeded, "\(commit)")
    let discard = try site.end(try site.service.discardFailedOver("web01", by: nil))
    #expect(discard.state == .succeeded, "\(discard)")
    #expect(try site.branches.isEmpty)
  }

  @Test("disks that were replaced while somebody read them fence no source, readable or not")
  func replaced() throws {
    let site = try RecoverySite()
    #expect(try site.failover("p2").state == .succeeded)
    let former = try #require(try site.branches.first)
    do {
      let cut = try site.site.vault.readBranch(former)
      let change = try site.end(
        try site.service.changeRecoveryPoint(
          "web01", site.request("p1", confirmed: true), by: nil))
      #expect(change.state == .succeeded, "\(change)")
      withExtendedLifetime(cut) {}
    }
    #expect(try site.record().replaced == [former])
    site.servers.state.withLock { $0.isBroken = true }
    try FileSystem.system.remove("\(site.site.vault.path)/branches/\(former)/MANIFEST")
    do {
      let held = try FileLock(
        "\(site.site.vault.path)/branches/\(former)/lock", patience: 1000)
      let change = try site.end(
        try site.service.changeRecoveryPoint("web01", site.request("p0", confirmed: true), by: nil))
      #expect(change.state == .failed, "\(change)")
      #expect(try site.record().replaced == [former])
      held.release()
    }
    site.servers.state.withLock { $0.isBroken = false }
    let cancel = try site.cancelFailover()
    #expect(cancel.state == .succeeded, "\(cancel)")
    #expect(try site.branches.isEmpty)
    let told = try #require(try site.service.agentHost.sourceRefusal(of: site.machine))
    #expect("\(told)".contains("was cancelled"), "\(told)")
  }

  /// A machine that was failed over, and of which only its disks tell that.
  private func forgotten() throws -> (RecoverySite, Identifier) {
    let site = try RecoverySite()
    #expect(try site.failover("p1").state == .succeeded)
    let branch = try #require(try site.branches.first)
    try site.change { log throws(VaultError) in try log.release(branch) }
    try site.restart(without: true)
    #expect(try site.standing.state == .replicationStopped && site.branches == [branch])
    return (site, branch)
  }

  @Test("disks that nothing names are named by a failover, which keeps them")
  func unnamed() throws {
    let (site, branch) = try forgotten()
    let refused = try site.failover()
    #expect(refused.error?.message.contains("branch \(branch) of") == true, "\(refused)")
    #expect(try site.standing.state == .replicationStopped && site.branches == [branch])
    let job = try site.end(
      try site.service.startFailover("web01", site.request(confirmed: true), by: nil))
    #expect(job.state == .succeeded, "\(job)")
    #expect(try site.branches.contains(branch) && site.branches.count == 2)
    try site.restart()
    #expect(try site.branches.contains(branch) && site.branches.count == 2)
    #expect(try site.standing.state == .failedOver)
  }

  @Test("disks that nothing names are removed by who was told of them, and end no protection else")
  func unnamedRemoved() throws {
    let (site, branch) = try forgotten()
    let stuck = try site.refusal { _ = try site.service.disable("web01") }
    #expect(stuck.contains("'tidemark failover cancel web01 --yes'"), "\(stuck)")
    #expect(try site.standing.allowed.contains(.cancel))
    let told = try site.refusal {
      _ = try site.service.cancelFailover("web01", isConfirmed: false, by: nil)
    }
    #expect(told.contains("branch \(branch) of"), "\(told)")
    #expect(try site.branches == [branch])
    let job = try site.cancelFailover()
    #expect(job.state == .succeeded, "\(job)")
    #expect(try site.branches.isEmpty && site.standing.allowed == [.failover, .disable])
    let refusal = try #require(try site.service.agentHost.sourceRefusal(of: site.machine))
    #expect("\(refusal)".contains("was cancelled"), "\(refusal)")
    _ = try site.service.disable("web01")
    #expect(try site.site.vault.machines().isEmpty)
  }
}
