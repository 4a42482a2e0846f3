public import Bytes

/// What a person calls a recovery point.
public enum PointSelector: Hashable, Sendable {
  /// The newest point that is there.
  case latest
  /// The newest app-consistent point.
  case latestApplicationConsistent
  /// The point of this moment, or the newest before it.
  case instant(Instant)
  /// A point's id or label.
  case name(String)

  /// Reads `latest`, `latest-processed`, `latest-app-consistent`, an instant, an id or a label.
  public init(_ text: String) {
    switch text {
    case "latest", "latest-processed": self = .latest
    case "latest-app-consistent": self = .latestApplicationConsistent
    default: self = Instant(text).map(PointSelector.instant) ?? .name(text)
    }
  }

  /// Why a label is refused; nil if it is good.
  ///
  /// A label may not be taken for an id, an instant or a word that names a point, nor be a path.
  public static func objection(toLabel label: String) -> String? {
    guard (1...100).contains(label.utf8.count) else { return "it must have 1 to 100 bytes" }
    guard !label.unicodeScalars.contains(where: { $0.value < 32 || $0 == "/" || $0 == ":" }) else {
      return "slashes, colons and control characters are not allowed"
    }
    guard label != ".", label != ".." else { return "it is a path" }
    guard !label.hasPrefix("latest") else { return "it looks like 'latest'" }
    guard Instant(label) == nil else { return "it looks like an instant" }
    guard !looksLikeID(label) else { return "it looks like the id of a point" }
    return nil
  }

  private static func looksLikeID(_ text: String) -> Bool {
    let parts = text.split(separator: "-", maxSplits: 1)
    guard parts.count == 2, Instant(String(parts[0])) != nil else { return false }
    return parts[1].hasPrefix("crash") || parts[1].hasPrefix("app")
  }
}

/// The point that answers to a selector, and how far it is from what was asked.
public struct ResolvedPoint: Hashable, Sendable {
  /// The point.
  public let point: RecoveryPoint
  /// The instant that was asked for; nil if none was.
  public let asked: Timestamp?
  /// Whether a relative instant lay behind the window's end and was moved there.
  public let clamped: Bool

  /// Nanoseconds from the point to the instant asked for; nil if none was asked for.
  public var distance: Int64? { asked.map { $0.rawValue - point.time.rawValue } }
}

extension MachineSnapshot {
  /// The recovery point a person means.
  ///
  /// An instant means the newest point not later than it. An absolute instant behind the newest time
  /// the source vouches for is refused, for nothing is known of it; a relative one (`5m-ago`) is moved
  /// to that time, and the result says so.
  /// - Throws: `.unknownPoint`.
  public func resolve(
    _ selector: PointSelector, now: Timestamp
  ) throws(VaultError) -> ResolvedPoint {
    switch selector {
    case .latest:
      return try found(points.last, "it has none yet: run 'tidemark replicate \(name)'")
    case .latestApplicationConsistent:
      return try found(
        points.last { $0.kind == .application }, "it has no app-consistent point")
    case .name(let text):
      let point = points.last { $0.id == text } ?? points.last { $0.label == text }
      return try found(
        point, "none has the id or label '\(text)': run 'tidemark point list \(name)'")
    case .instant(.absolute(let moment)): return try resolve(moment, clamping: false)
    case .instant(.ago(let seconds)):
      let moment = Timestamp(rawValue: now.rawValue - seconds * 1_000_000_000)
      return try resolve(moment, clamping: true)
    }
  }

  private var name: String { configuration.name }

  private func resolve(
    _ moment: Timestamp, clamping: Bool
  ) throws(VaultError) -> ResolvedPoint {
    guard let windowEnd else {
      return try found(nil, "it has none yet: run 'tidemark replicate \(name)'")
    }
    let isBehind = moment > windowEnd
    // Names carry whole seconds: the second in which the window ends belongs to it.
    guard !isBehind || clamping || moment.seconds == windowEnd.seconds else {
      throw VaultError(
        .unknownPoint,
        "\(moment.iso8601) is later than anything known of '\(name)': "
          + "its source vouches for the time up to \(windowEnd.iso8601).")
    }
    guard let point = newestPoint(notLaterThan: min(moment, windowEnd)) else {
      return try found(
        nil, "\(moment.iso8601) is before the oldest one (\(points[0].time.iso8601))")
    }
    return ResolvedPoint(point: point, asked: moment, clamped: isBehind && clamping)
  }

  /// The times of points never go back, so halving finds it.
  private func newestPoint(notLaterThan moment: Timestamp) -> RecoveryPoint? {
    var (low, high) = (0, points.count)
    while low < high {
      let middle = (low + high) / 2
      if points[middle].time <= moment { low = middle + 1 } else { high = middle }
    }
    return low > 0 ? points[low - 1] : nil
  }

  private func found(
    _ point: RecoveryPoint?, _ otherwise: String
  ) throws(VaultError) -> ResolvedPoint {
    guard let point else {
      throw VaultError(.unknownPoint, "No such recovery point of '\(name)': \(otherwise).")
    }
    return ResolvedPoint(point: point, asked: nil, clamped: false)
  }
}
