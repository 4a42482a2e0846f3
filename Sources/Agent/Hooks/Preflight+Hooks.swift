internal import FileIO
internal import MachineSockets
public import Replication

extension Preflight {
  /// Types of file systems that are known to freeze.
  private static let freezable: Set<String> = [
    "bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "gfs2", "jfs", "nilfs2", "ocfs2", "xfs",
  ]
  private static let patience = Duration.seconds(5)

  /// Whether the hooks can do their work, as far as that can be told without freezing anything. Blocks for
  /// up to 5 seconds a hook.
  public func hookFindings() -> [Finding] {
    configuration.hooks.map { finding(of: $0) } + sourceHookFindings()
  }

  /// Whether what shuts the source down, and what is run when it was fenced, can do its work, as far as that
  /// can be told without running it. Blocks for up to 5 seconds a hook.
  public func sourceHookFindings() -> [Finding] {
    var hooks: [(String, SourceHook)] = []
    if let shutdown = configuration.shutdown { hooks.append(("hook shutdown", shutdown)) }
    if let fence = configuration.fence { hooks.append(("hook fence", fence)) }
    return hooks.map { subject, hook in
      do throws(AgentError) {
        switch hook.kind {
        case .script: try HookProgram.check(hook.path)
        case .monitor:
          var monitor = try JSONConversation.monitor(hook.path, until: .now + Self.patience)
          _ = try monitor.status()
        }
        return Finding(subject, .ok, hook.path)
      } catch {
        let name = subject.split(separator: " ").last ?? ""
        return Finding(
          subject, .warning, error.message,
          advice: "Mend that, or take it out with 'tidemark agent remove-hook \(name)'.")
      }
    }
  }

  /// Whether a hook can do its work.
  public func finding(of hook: Hook) -> Finding {
    let subject = "hook \(hook.kind.rawValue)"
    let plan = HookPlan([hook], of: configuration, in: directory)
    do throws(AgentError) {
      let isNeeded = try hook.freezer(plan).isNeeded(until: .now + Self.patience)
      guard isNeeded else {
        return Finding(
          subject, .warning, "\(hook.paths[0]): the machine is stopped already",
          advice: "It stays so until whoever has stopped it lets it go on.")
      }
    } catch {
      return Finding(
        subject, .warning, error.message,
        advice: "Mend that, or take the hook out with 'tidemark agent remove-hook "
          + "\(hook.kind.rawValue)'. Until then points are only crash-consistent.")
    }
    if hook.kind == .fileSystems, let doubt = doubt(hook.paths) { return doubt }
    if hook.kind == .monitor, !configuration.hasQuietingHook {
      return Finding(
        subject, .warning, "\(hook.paths[0]) holds the machine, and nothing else does",
        advice:
          "A stopped machine keeps to itself what it has in memory: points stay crash-consistent. "
          + "Add a hook of another kind for app-consistent ones.")
    }
    return Finding(subject, .ok, hook.paths.joined(separator: ", "))
  }

  private func doubt(_ paths: [String]) -> Finding? {
    let mounts = (try? FileSystem.mounts()) ?? []
    for path in paths {
      guard let type = mounts.last(where: { $0.point == path })?.type,
        !Self.freezable.contains(type)
      else { continue }
      return Finding(
        "hook fsfreeze", .warning, "'\(path)' is of type \(type)",
        advice: "It may not be possible to freeze it: see with 'tidemark agent test-hook'.")
    }
    return nil
  }
}
