internal import Bytes
internal import ImageFormats
internal import Vault

/// What an export made, as text and as JSON.
struct ExportReport {
  let machine: String
  let point: RecoveryPoint
  let disk: DiskNumber
  let format: ExportFormat
  let path: String
  let summary: DiskExport.Summary
  let verified: Bool

  struct Document: Encodable {
    let machine: String
    let point: String
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
    Document(
      machine: machine, point: point.id, disk: disk, format: format.rawValue, path: path,
      fileSize: summary.fileSize, diskSize: summary.diskSize, writtenBytes: summary.written,
      resumedAtByte: summary.resumedAt, verified: verified)
  }

  var text: String {
    var text = "Exported disk \(disk) of \(machine) at \(point.id) to \(path): "
    text += "\(Words.size(summary.fileSize)), of which \(Words.size(summary.written)) is data."
    if summary.resumedAt > 0 { text += " Went on at \(Words.size(summary.resumedAt))." }
    return verified ? text + " Read back and found equal." : text
  }
}
