internal import ControlAPI

/// How a machine is replicated, as text.
enum SettingsReport {
  static func text(_ settings: SettingsDocument) -> String {
    Words.facts(facts(settings) + (settings.target.map(TargetReport.facts) ?? []))
  }

  static func facts(_ settings: SettingsDocument) -> [(String, String)] {
    var facts: [(String, String)] = []
    if let seconds = settings.cycleSeconds {
      facts.append(("Interval", Words.time(seconds: Int64(seconds))))
    }
    if let seconds = settings.applicationSeconds {
      facts.append(("App interval", seconds == 0 ? "none" : Words.time(seconds: Int64(seconds))))
    }
    if let bytes = settings.bandwidth {
      facts.append(("Bandwidth", bandwidth(bytes, settings.bandwidthHours)))
    }
    if let seconds = settings.rpoSeconds {
      facts.append(("RPO threshold", Words.time(seconds: Int64(seconds))))
    }
    if let window = settings.resyncWindow { facts.append(("Resync window", window)) }
    if let server = settings.processServer { facts.append(("Process server", server)) }
    if let address = settings.address { facts.append(("Address", address)) }
    return facts
  }

  private static func bandwidth(_ bytes: Int64, _ hours: String?) -> String {
    guard bytes > 0 else { return "no limit" }
    let limit = Words.size(UInt64(bytes)) + " a second"
    guard let hours, hours != "always" else { return limit }
    return "\(limit) in \(hours), else no limit"
  }
}
