internal import Bytes
internal import FileIO
internal import Logging

/// How a service's log lines look.
enum LogFormat: String, CaseIterable, Choosable {
  case text
  case json

  var word: String { rawValue }
}

extension Logger.Level: Choosable {
  var word: String { rawValue }
}

/// Log lines on standard error: `2026-11-20T10:30:00Z notice Serving vault=main`, or a JSON object
/// each. Where they go to the journal, each begins with its priority (sd-daemon(3)) and without a
/// time, which the journal has itself.
struct ServiceLog: LogHandler {
  var metadata: Logger.Metadata = [:]
  var logLevel: Logger.Level
  let format: LogFormat
  let isJournal: Bool

  /// A logger for the service; `JOURNAL_STREAM` tells that systemd listens.
  static func logger(level: Logger.Level, format: LogFormat) -> Logger {
    let isJournal = Environment.value("JOURNAL_STREAM") != nil
    return Logger(label: "tidemark") { _ in
      ServiceLog(logLevel: level, format: format, isJournal: isJournal)
    }
  }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    let fields = metadata.merging(event.metadata ?? [:]) { $1 }
    let line = Self.line(event.level, "\(event.message)", fields, .now(), format)
    let prefix = isJournal ? "<\(Self.priority(event.level))>" : ""
    let time = isJournal || format == .json ? "" : Timestamp.now().iso8601 + " "
    // Where the log can't be written nobody reads it, and the service goes on.
    try? StandardStream.error.write(prefix + time + line + "\n")
  }

  /// One line, whatever the message and values hold.
  static func line(
    _ level: Logger.Level, _ message: String, _ fields: Logger.Metadata, _ time: Timestamp,
    _ format: LogFormat
  ) -> String {
    let sorted = fields.sorted { $0.key < $1.key }
    switch format {
    case .text:
      let values = sorted.map { " \($0.key)=\(quoted("\($0.value)"))" }.joined()
      return "\(level.rawValue) \(oneLine(message))\(values)"
    case .json:
      return JSONText.line(
        LogDocument(
          time: time.iso8601, level: level.rawValue, message: message,
          fields: Dictionary(uniqueKeysWithValues: sorted.map { ($0.key, "\($0.value)") })))
    }
  }

  private static func oneLine(_ text: String) -> String {
    String(text.map { $0.isNewline || $0.asciiValue.map { $0 < 32 } == true ? " " : $0 })
  }

  private static func quoted(_ text: String) -> String {
    let line = oneLine(text)
    guard line.isEmpty || line.contains(where: { $0 == " " || $0 == "\"" || $0 == "=" }) else {
      return line
    }
    return "\"" + line.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
  }

  /// The priority of syslog(3).
  private static func priority(_ level: Logger.Level) -> Int {
    switch level {
    case .critical: 2
    case .error: 3
    case .warning: 4
    case .notice: 5
    case .info: 6
    case .debug, .trace: 7
    }
  }
}

/// A log line, as JSON.
private struct LogDocument: Encodable {
  let time: String
  let level: String
  let message: String
  let fields: [String: String]
}
