internal import Bytes
internal import ImageFormats
internal import Vault

/// What an export made, as text and as JSON.
struct ExportReport {
  /// What the disk was taken from.
  enum Origin {
    /// A recovery point.
    case point(String)
    /// A branch, up to a number.
    case failover(branch: Identifier, cut: SequenceNumber, isCrashConsistent: Bool)
  }

  let machine: String
  let origin: Origin
  let disk: DiskNumber
  let format: ExportFormat
  let path: String
  let summary: DiskExport.Summary
  let verified: Bool

  struct Document: Encodable {
    let machine: String
    let point: String?
    let branch: String?
    let cut: UInt64?
    let isCrashConsistent: Bool?
    let disk: DiskNumber
    let format: String
    let path: String
    let fileSize: UInt64
    let diskSize: UInt64
    let writtenBytes: UInt64
    let resumedAtByte: UInt64
    let verified: Bool
  }

  var document: Document {
    var (point, branch, cut, isCrashConsistent): (String?, String?, UInt64?, Bool?)
    switch origin {
    case .point(let id): point = id
    case .failover(let id, let last, let isLive):
      (branch, cut, isCrashConsistent) = (id.description, last.rawValue, isLive)
    }
    return Document(
      machine: machine, point: point, branch: branch, cut: cut,
      isCrashConsistent: isCrashConsistent, disk: disk, format: format.rawValue, path: path,
      fileSize: summary.fileSize, diskSize: summary.diskSize, writtenBytes: summary.written,
      resumedAtByte: summary.resumedAt, verified: verified)
  }

  private var words: String {
    switch origin {
    case .point(let id): "at \(id)"
    case .failover(_, _, false): "as it was failed over and written to"
    case .failover(_, _, true):
      "as it was failed over and written to (crash-consistent: it was in use, or its machine was cut off)"
    }
  }

  var text: String {
    var text = "Exported disk \(disk) of \(machine) \(words) to \(path): "
    text += "\(Words.size(summary.fileSize)), of which \(Words.size(summary.written)) is data."
    if summary.resumedAt > 0 { text += " Went on at \(Words.size(summary.resumedAt))." }
    return verified ? text + " Read back and found equal." : text
  }
}
