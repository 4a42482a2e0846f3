internal import ControlAPI

/// How a machine is replicated, as text.
enum SettingsReport {
  static func text(_ settings: SettingsDocument) -> String {
    var facts: [(String, String)] = []
    if let seconds = settings.cycleSeconds {
      facts.append(("Interval", Words.time(seconds: Int64(seconds))))
    }
    if let seconds = settings.applicationSeconds {
      facts.append(("App interval", seconds == 0 ? "none" : Words.time(seconds: Int64(seconds))))
    }
    if let bytes = settings.bandwidth {
      facts.append(("Bandwidth", bytes <= 0 ? "no limit" : Words.size(UInt64(bytes)) + " a second"))
    }
    if let window = settings.resyncWindow {
      facts.append(("Resynchronisation", window))
    }
    if let server = settings.processServer { facts.append(("Process server", server)) }
    return Words.facts(facts)
  }
}
