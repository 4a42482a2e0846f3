internal import Agent
internal import Bytes
internal import Capture
internal import ControlAPI
internal import FileIO
internal import Identity
internal import Operations
internal import ReplicationService
internal import Vault

/// Looks whether this machine's agent can do its work, before it has to.
struct AgentPreflight {
  let directory: AgentDirectory
  let configuration: AgentConfiguration
  /// Whom to ask for the time; nil for nobody.
  let timeSource: TimeSource?

  private static let patience = Duration.seconds(10)

  /// Blocks for as long as the network takes, at most half a minute.
  func findings() -> [HostFinding] {
    var findings = [system, replicationPort, controlPort, space, hosts]
    if let timeSource {
      findings.append(
        HostCheck.clock(offset: timeSource.offset(within: 2), source: timeSource.host))
    }
    guard !configuration.disks.isEmpty else {
      return findings + [
        HostFinding(
          "disks", .warning, "none", advice: "Add one with 'tidemark agent add-disk PATH'.")
      ]
    }
    return findings + configuration.disks.map(Self.finding)
  }

  /// Distributions whose kernel and tools the agent is known to work with, by os-release(5).
  private static let supported = [
    "almalinux", "centos", "debian", "fedora", "ol", "opensuse-leap", "rhel", "rocky", "sles",
    "ubuntu",
  ]

  private var system: HostFinding {
    let (id, version) = MachineFacts.distribution
    guard !Self.supported.contains(id) else {
      return HostFinding("system", .ok, "\(id) \(version)")
    }
    return HostFinding(
      "system", .warning, "\(id) \(version)",
      advice: "It may work; it is not one of \(Self.supported.joined(separator: ", ")).")
  }

  private var replicationPort: HostFinding {
    let subject = "port \(configuration.replicationPort)"
    do {
      let client = try Client(credentials: try directory.identity().load(), now: { .now() })
      let connection = try client.connect(
        to: configuration.host, port: configuration.replicationPort, within: Self.patience)
      connection.close()
      return HostFinding(subject, .ok, "the service of '\(configuration.vaultName)' answers")
    } catch {
      return HostFinding(
        subject, .refused, "\(error)",
        advice: "Let TCP through to \(configuration.host):\(configuration.replicationPort), where "
          + "'tidemark serve' listens for replication.")
    }
  }

  private var controlPort: HostFinding {
    let subject = "port \(configuration.controlPort)"
    do {
      let authority = try directory.identity().load().trust.certificatePEM
      let transport = try NetworkTransport(
        to: .vault(
          host: configuration.host, port: configuration.controlPort, authority: authority))
      guard try transport.isReachable() else {
        throw OperationError(.failed, "nobody listens there")
      }
      return HostFinding(subject, .ok, "the service's API answers")
    } catch {
      return HostFinding(
        subject, .warning, "\(error)",
        advice: "Let TCP through to \(configuration.host):\(configuration.controlPort), where the "
          + "service's API is: certificates are asked for there.")
    }
  }

  /// What digests take: 16 bytes for each 64 KiB of disk.
  private var space: HostFinding {
    let sizes = configuration.disks.map { (try? SourceCheck.size(of: $0)) ?? 0 }
    let needed = sizes.reduce(0) { $0 + $1 / 4096 } + (16 << 20)
    do {
      let (free, _) = try FileSystem.system.space(at: directory.path)
      let found = "\(Words.size(free)) free, \(Words.size(needed)) needed"
      guard free < needed else { return HostFinding("space", .ok, found) }
      return HostFinding(
        "space", .refused, found, advice: "Make room where '\(directory.path)' lies.")
    } catch {
      return HostFinding("space", .refused, "\(error)", advice: "Mend the file system.")
    }
  }

  private var hosts: HostFinding {
    let bytes = (try? FileSystem.system.readFile("/etc/hosts", limit: 1 << 20)) ?? []
    let missing = Self.missing(
      in: String(decoding: bytes, as: UTF8.self), name: MachineFacts.hostName,
      addresses: MachineFacts.addresses)
    guard !missing.isEmpty else {
      return HostFinding("hosts", .ok, "'\(MachineFacts.hostName)' has every address")
    }
    return HostFinding(
      "hosts", .warning,
      "/etc/hosts does not map '\(MachineFacts.hostName)' to \(missing.joined(separator: ", "))",
      advice: "Add the lines "
        + missing.map { "'\($0) \(MachineFacts.hostName)'" }.joined(separator: ", ")
        + " to /etc/hosts.")
  }

  /// The addresses that a hosts(5) file does not give to a name. Those of one link only are left out:
  /// nobody reaches the machine by them from elsewhere.
  static func missing(in hosts: String, name: String, addresses: [String]) -> [String] {
    var known: Set<Substring> = []
    for line in hosts.split(whereSeparator: \.isNewline) {
      let fields = line.prefix { $0 != "#" }.split(whereSeparator: \.isWhitespace)
      if fields.dropFirst().contains(where: { $0.lowercased() == name.lowercased() }) {
        known.insert(fields[0])
      }
    }
    return addresses.filter { !$0.lowercased().hasPrefix("fe80:") && !known.contains($0[...]) }
  }

  private static func finding(of disk: DiskConfiguration) -> HostFinding {
    let subject = "disk \(disk.number)"
    do throws(CaptureError) {
      let size = try SourceCheck.size(of: disk)
      try SourceCheck.mode(of: disk)
      let found = "\(disk.path), \(Words.size(size)), \(disk.capture.name)"
      let place = try? FileSystem.system.space(at: disk.path)
      guard disk.capture == .reflink, let place, place.total > 0,
        place.free < place.total / 100 * UInt64(CaptureOptions.defaultCloneFloorPercent)
      else { return HostFinding(subject, .ok, found) }
      return HostFinding(
        subject, .warning, "\(found), \(Words.size(place.free)) free beside it",
        advice:
          "Make room: with less than \(CaptureOptions.defaultCloneFloorPercent) % free no clone "
          + "is kept, and every cycle compares everything.")
    } catch {
      return HostFinding(
        subject, .refused, error.message,
        advice: "Bring it back, or take it out with 'tidemark agent remove-disk \(disk.path)'.")
    }
  }
}
