import Support

/// What the command line asks for.
struct Options {
  static let usage = """
    usage: PowerLossMount --backing DIR [options] MOUNTPOINT

    Serves a copy of DIR, held in memory, as a file system whose power can fail.

      SIGUSR1             power loss: what was not synced is lost, torn or undone; DIR gets the
                          state after the crash, and the program ends
      SIGTERM             clean end: DIR gets everything
      --seed N            decides what a power loss takes (default 1)
      --loss KIND         everything, nothing, tail or scattered (default: the seed decides)
      --power-off-after N the power fails in the middle of the changing call after N others
      --fail-sync-after N the sync after N others fails with EIO
      --capacity BYTES    room for files
      -o OPTION           a mount option for libfuse, such as allow_other
    """

  var backing = ""
  var mountPoint = ""
  var seed: UInt64 = 1
  var loss: Loss?
  var powerOffAfter: Int?
  var failSyncAfter: Int?
  var capacity: UInt64?
  var mountOptions = ["default_permissions", "fsname=power-loss"]

  /// Reads the arguments; nil if they are wrong.
  init?(_ arguments: [String]) {
    var rest = arguments[...]
    while let option = rest.popFirst() {
      guard option.hasPrefix("-") else {
        guard mountPoint.isEmpty else { return nil }
        mountPoint = option
        continue
      }
      guard let value = rest.popFirst(), take(option, value) else { return nil }
    }
    guard !backing.isEmpty, !mountPoint.isEmpty else { return nil }
  }

  private mutating func take(_ option: String, _ value: String) -> Bool {
    switch option {
    case "--backing": backing = value
    case "--loss":
      loss = Loss.allCases.first { "\($0)" == value }
      return loss != nil
    case "-o": mountOptions.append(value)
    default: return takeNumber(option, value)
    }
    return true
  }

  private mutating func takeNumber(_ option: String, _ value: String) -> Bool {
    guard let number = UInt64(value) else { return false }
    switch option {
    case "--seed": seed = number
    case "--power-off-after": powerOffAfter = Int(clamping: number)
    case "--fail-sync-after": failSyncAfter = Int(clamping: number)
    case "--capacity": capacity = number
    default: return false
    }
    return true
  }
}
