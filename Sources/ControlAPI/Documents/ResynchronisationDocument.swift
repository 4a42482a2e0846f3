internal import Bytes
internal import Catalog
public import Operations

/// How a machine stands with its replica, as JSON.
public struct ResynchronisationDocument: Codable, Sendable {
  /// `none`, `required` or `running`.
  public let state: String
  /// Why, in sentences.
  public let reason: String?
  /// Since when it is required.
  public let since: String?
  /// Whether it was cancelled, so that only a person begins it again.
  public let isHeld: Bool?
  /// The job that tells how far it is.
  public let job: Int64?
  /// When one that is required begins by itself: `automatic`, `manual`, or hours.
  public let window: String

  /// Describes how a machine stands.
  public init(_ status: ResynchronisationStatus) {
    let record = status.record
    state = record?.state.rawValue ?? "none"
    (reason, since, job) = (record?.reason, record?.since.iso8601, record?.job)
    isHeld = record?.isHeld
    window = status.window.description
  }
}

/// Why a machine's replica can't be gone on from, as JSON.
public struct DamageDocument: Codable, Sendable {
  /// The reason, in sentences.
  public let reason: String

  /// Tells of a reason.
  public init(reason: String) { self.reason = reason }
}
