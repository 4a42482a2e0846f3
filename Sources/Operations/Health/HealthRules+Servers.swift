internal import Bytes
internal import Catalog
internal import Replication

/// What is wrong with process servers: the service itself and relays, by the same limits.
extension HealthRules {
  /// What is wrong with the service's own host, whose cache is the vault; `reserve` is what the vault
  /// keeps free for mending itself, and `isWatched` says whether processor and memory were watched for
  /// long enough to be judged.
  func findings(ofHost load: ServerLoad, isWatched: Bool, reserve: UInt64) -> [HealthFinding] {
    let findings = (isWatched ? busy(load) : []) + full(.space, load, "of the vault's file system")
    guard load.cacheSize > 0, load.cacheFree <= reserve else { return findings }
    return findings + [
      HealthFinding(
        .vaultFull, .critical,
        "The vault is full: less than the \(reserve >> 20) MiB that are kept in reserve are free, "
          + "and nothing more is taken from agents.")
    ]
  }

  /// What is wrong with a relay, by what it told last.
  func findings(ofRelay load: ServerLoad) -> [HealthFinding] {
    let pending = load.pendingSeconds
    let verdict: HostLimits.Verdict =
      pending > pendingCritical ? .critical : pending > pendingWarning ? .warning : .ok
    return busy(load) + full(.serverCache, load, "of the cache")
      + finding(.serverPending, verdict, pendingWarning / 60, pendingCritical / 60) {
        "What is in the cache takes \(pending / 60) minutes to upload; the limit is \($0)."
      }
  }

  /// What is wrong with when a relay was heard of last.
  func findings(ofRelayHeard contact: Timestamp, at now: Timestamp) -> [HealthFinding] {
    guard now.seconds - contact.seconds > silence else { return [] }
    return [
      HealthFinding(
        .serverSilent, .critical,
        "Nothing was heard of it since \(contact.wholeSeconds); the limit is \(silence / 60) minutes."
      )
    ]
  }

  private func busy(_ load: ServerLoad) -> [HealthFinding] {
    judged(.processor, load.processor, "The processors were", "busy")
      + judged(.memory, load.memory, "The memory was", "in use")
  }

  private func judged(
    _ code: HealthCode, _ thousandths: UInt32, _ what: String, _ how: String
  ) -> [HealthFinding] {
    // A part counts as a whole, so that 95.1 is above 95.
    let percent = (Int(thousandths) + 9) / 10
    return finding(code, host.verdict(busy: percent), host.busyWarning, host.busyCritical) {
      "\(what) \(percent) % \(how) over the last \(HostLoadWindow.length / 60) minutes; the limit is "
        + "\($0) %."
    }
  }

  private func full(_ code: HealthCode, _ load: ServerLoad, _ what: String) -> [HealthFinding] {
    guard load.cacheSize > 0 else { return [] }
    // A relay that tells nonsense has no more than all.
    let percent = Int(min(1, Double(load.cacheFree) / Double(load.cacheSize)) * 100)
    return finding(code, host.verdict(free: percent), host.freeWarning, host.freeCritical) {
      "\(percent) % \(what) is free; the limit is \($0) %."
    }
  }

  /// A finding unless all is well; `message` gets the limit that was passed.
  private func finding<Limit>(
    _ code: HealthCode, _ verdict: HostLimits.Verdict, _ warning: Limit, _ critical: Limit,
    _ message: (Limit) -> String
  ) -> [HealthFinding] {
    switch verdict {
    case .ok: []
    case .warning: [HealthFinding(code, .warning, message(warning))]
    case .critical: [HealthFinding(code, .critical, message(critical))]
    }
  }
}
