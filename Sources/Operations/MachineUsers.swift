internal import FileIO
internal import Vault

/// Who reads a machine of a vault at this moment, as far as this user may see.
struct MachineUsers {
  /// Bytes before this one of a machine's file of locks are those of whoever reads it.
  private static let firstGlance: UInt64 = 1 << 62
  /// A command line is cut behind so many letters.
  private static let lineLimit = 120
  private let machine: Machine

  init(_ machine: Machine) { self.machine = machine }

  /// A sentence for each: who reads it, and, if that is a mount, who has a file of it open there.
  var sentences: [String] {
    let holders = RunningProcess.holders(
      ofFileAt: "/machines/\(machine.id)/readers", before: Self.firstGlance)
    guard !holders.isEmpty else { return [] }
    return holders.map { "It is read by \(Self.words(of: $0))." } + inMounts
  }

  private var inMounts: [String] {
    let mounts = ((try? FileSystem.mounts()) ?? []).filter { $0.type.hasPrefix("fuse") }
    return mounts.flatMap { mount in
      let directory = "\(mount.point)/\(machine.name)"
      return RunningProcess.users(of: directory)
        .map { "'\($0.path)' is open in \(Self.words(of: $0.process))." }
        + RunningProcess.loopDevices(on: directory).map { "'\($0.path)' is \($0.device)." }
    }
  }

  private static func words(of process: Int32) -> String {
    guard process != RunningProcess.own else { return "this service, for a job of its own" }
    let line = RunningProcess.arguments(of: process).joined(separator: " ")
    return "process \(process)" + (line.isEmpty ? "" : ", '\(line.prefix(lineLimit))'")
  }
}
