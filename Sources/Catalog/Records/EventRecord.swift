public import Bytes
internal import GRDB

/// How urgently somebody should look.
public enum Severity: String, Codable, Sendable, CaseIterable {
  /// Good to know.
  case info
  /// Something should be seen to.
  case warning
  /// Something is lost, or will be.
  case critical
}

/// Something that happened.
public struct EventRecord: Codable, Hashable, Sendable {
  /// Its number; later events have higher ones.
  public var id: Int64
  /// When it happened.
  public var time: Timestamp
  /// How urgently somebody should look.
  public var severity: Severity
  /// What kind of event it is, for programs.
  public var code: String
  /// The name of the machine it is about.
  public var machine: String?
  /// What happened, for people.
  public var message: String
}

extension EventRecord: Kept {
  static var table: String { "event" }
}

/// Something that is wrong until it is mended.
public struct HealthErrorRecord: Codable, Hashable, Sendable {
  /// The machine or server it is about; empty for the service itself.
  public var subject: String
  /// What kind of error it is, for programs; a subject has each at most once.
  public var code: String
  /// How urgently somebody should look.
  public var severity: Severity
  /// What is wrong, for people.
  public var message: String
  /// What to do about it, for people; empty where the message says.
  public var advice: String
  /// Since when.
  public var since: Timestamp

  /// An error of these properties.
  public init(
    subject: String, code: String, severity: Severity, message: String, advice: String = "",
    since: Timestamp
  ) {
    (self.subject, self.code, self.severity) = (subject, code, severity)
    (self.message, self.advice, self.since) = (message, advice, since)
  }
}

extension HealthErrorRecord: Kept {
  static var table: String { "healthError" }
}

extension Catalog {
  /// Events that are kept; older ones are forgotten as new ones come.
  public static let eventLimit = 100_000

  /// Keeps an event, and gives it its number.
  @discardableResult
  public func addEvent(
    _ severity: Severity, _ code: String, machine: String? = nil, _ message: String,
    now: Timestamp
  ) throws(CatalogError) -> EventRecord {
    try write { database in
      let event = EventRecord(
        id: try database.nextNumber(of: EventRecord.table), time: now, severity: severity,
        code: code, machine: machine, message: message)
      try Stored(event).insert(database)
      try database.execute(
        sql: "DELETE FROM event WHERE id <= ?", arguments: [event.id - Int64(Self.eventLimit)])
      return event
    }
  }

  /// The newest `limit` events with numbers above `id`, the newest first.
  public func events(after id: Int64 = 0, limit: Int) throws(CatalogError) -> [EventRecord] {
    try all(EventRecord.self, where: "id > ?", by: "id DESC", limit: limit, [id])
  }

  /// Keeps an error as a current one; one of its subject and code keeps since when it is there.
  public func set(_ error: HealthErrorRecord) throws(CatalogError) {
    let old = try first(
      HealthErrorRecord.self, where: "subject = ? AND code = ?", [error.subject, error.code])
    var error = error
    error.since = old?.since ?? error.since
    try put(error)
  }

  /// The current errors, those of longest standing first.
  public func healthErrors() throws(CatalogError) -> [HealthErrorRecord] {
    try all(HealthErrorRecord.self, by: "since, subject, code")
  }

  /// Takes an error away that is mended; false if it was not there.
  public func clearHealthError(
    subject: String, code: String
  ) throws(CatalogError) -> Bool {
    try change("DELETE FROM healthError WHERE subject = ? AND code = ?", [subject, code]) > 0
  }
}
