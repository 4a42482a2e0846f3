internal import Bytes
internal import Capture
internal import FileIO
public import Replication
internal import Vault

/// Looks whether this machine's agent can do its work, before it has to: what can be told without a
/// network. The agent sends it with each hello, so that the service can refuse what would not work.
public struct Preflight: Sendable {
  let directory: AgentDirectory
  let configuration: AgentConfiguration

  /// Looks at the machine for the agent of a directory.
  public init(in directory: AgentDirectory, of configuration: AgentConfiguration) {
    (self.directory, self.configuration) = (directory, configuration)
  }

  /// Distributions whose kernel and tools the agent is known to work with, by os-release(5).
  private static let supported = [
    "almalinux", "centos", "debian", "fedora", "ol", "opensuse-leap", "rhel", "rocky", "sles",
    "ubuntu",
  ]

  /// What was found; a few system calls a disk.
  public func findings() -> [Finding] {
    [system, space, hosts] + disks
  }

  private var system: Finding {
    let (id, version) = MachineFacts.distribution
    guard !Self.supported.contains(id) else { return Finding("system", .ok, "\(id) \(version)") }
    return Finding(
      "system", .warning, "\(id) \(version)",
      advice: "It may work; it is not one of \(Self.supported.joined(separator: ", ")).")
  }

  /// What digests take: 16 bytes for each 64 KiB of disk.
  private var space: Finding {
    let sizes = configuration.disks.map { (try? SourceCheck.size(of: $0)) ?? 0 }
    let needed = sizes.reduce(0) { $0 + $1 / 4096 } + (16 << 20)
    do {
      let (free, _) = try FileSystem.system.space(at: directory.path)
      let found = "\(free >> 20) MiB free, \(needed >> 20) MiB needed"
      guard free < needed else { return Finding("space", .ok, found) }
      return Finding(
        "space", .refused, found, advice: "Make room where '\(directory.path)' lies.")
    } catch {
      return Finding("space", .refused, "\(error)", advice: "Mend the file system.")
    }
  }

  private var hosts: Finding {
    let bytes = (try? FileSystem.system.readFile("/etc/hosts", limit: 1 << 20)) ?? []
    let missing = Self.missing(
      in: String(decoding: bytes, as: UTF8.self), name: MachineFacts.hostName,
      addresses: MachineFacts.addresses)
    guard !missing.isEmpty else {
      return Finding("hosts", .ok, "'\(MachineFacts.hostName)' has every address")
    }
    return Finding(
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

  private var disks: [Finding] {
    guard configuration.disks.isEmpty else { return configuration.disks.map(Self.finding) }
    return [
      Finding("disks", .warning, "none", advice: "Add one with 'tidemark agent add-disk PATH'.")
    ]
  }

  private static func finding(of disk: DiskConfiguration) -> Finding {
    let subject = "disk \(disk.number)"
    do throws(CaptureError) {
      let size = try SourceCheck.size(of: disk)
      try SourceCheck.mode(of: disk)
      let found = "\(disk.path), \(size >> 20) MiB, \(disk.capture.name)"
      let place = try? FileSystem.system.space(at: disk.path)
      guard disk.capture == .reflink, let place, place.total > 0,
        place.free < place.total / 100 * UInt64(CaptureOptions.defaultCloneFloorPercent)
      else { return Finding(subject, .ok, found) }
      return Finding(
        subject, .warning, "\(found), \(place.free >> 20) MiB free beside it",
        advice:
          "Make room: with less than \(CaptureOptions.defaultCloneFloorPercent) % free no clone "
          + "is kept, and every cycle compares everything.")
    } catch {
      return Finding(
        subject, .refused, error.message,
        advice: "Bring it back, or take it out with 'tidemark agent remove-disk \(disk.path)'.")
    }
  }
}
