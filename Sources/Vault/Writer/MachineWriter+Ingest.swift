internal import Bytes
public import Codecs

/// Taking in records that their source encoded.
extension MachineWriter {
  /// Where the next record goes on; a source that is told so can encode records by itself.
  public func position() throws(VaultError) -> LogPosition {
    try drain()
    return stream.position
  }

  /// How the vault compresses; records of another codec are taken all the same.
  public var codec: Codec { vault.description.codec }

  /// Adds data and zero records that a `RecordStream` elsewhere encoded, byte for byte.
  ///
  /// Nothing is added unless all of them are right: each header intact and of this log, going on exactly
  /// where the one before ended (number, time, hint), about a disk the machine has, and each cell equal
  /// to its checksum and of its length once it is decompressed, which is done here, on all cores. Durable
  /// after `commit`, which is done by itself every 16 MiB.
  /// - Returns: how many records were added.
  /// - Throws: `.malformed` for records that are not right.
  public func append(_ records: UnsafeRawBufferPointer) throws(VaultError) -> Int {
    try checkIsNotFailedOver()
    try drain()
    let found = try parse(records)
    if let bad = ingest.firstDamaged(found, in: records, identity: machine.identity) {
      throw malformed(
        "record \(found[bad].header.sequence) holds cells that are not what they should be")
    }
    let segment = try openSegment()
    for (header, range) in found {
      segment.add(header, UnsafeRawBufferPointer(rebasing: records[range]))
      stream.position.pass(header)
    }
    storedBytes += UInt64(records.count)
    isClosed = false
    try commitIfFull(segment)
    self.segment?.writeAhead()
    return found.count
  }

  /// Takes records apart and checks that they continue the log.
  private func parse(
    _ records: UnsafeRawBufferPointer
  ) throws(VaultError) -> [(header: RecordHeader, range: Range<Int>)] {
    var found: [(header: RecordHeader, range: Range<Int>)] = []
    var position = stream.position
    var offset = 0
    while offset < records.count {
      let rest = UnsafeRawBufferPointer(rebasing: records[offset...])
      guard let header = RecordHeader(rest, identity: machine.identity) else {
        throw malformed("what follows record \(position.sequence) is no record of this log")
      }
      guard Int(header.length) <= rest.count else {
        throw malformed("record \(header.sequence) is cut short")
      }
      if let objection = objection(to: header, after: position) {
        throw malformed("record \(header.sequence) \(objection)")
      }
      guard rest[header.contentEnd..<Int(header.length)].allSatisfy({ $0 == 0 }) else {
        throw malformed("record \(header.sequence) has something behind its cells")
      }
      found.append((header, offset..<offset + Int(header.length)))
      position.pass(header)
      offset += Int(header.length)
    }
    return found
  }

  private func objection(to header: RecordHeader, after position: LogPosition) -> String? {
    if header.type != .data, header.type != .zero { return "is neither data nor zeros" }
    if header.sequence != position.sequence.next { return "does not follow \(position.sequence)" }
    if header.time < position.time { return "is older than the one before" }
    if header.hint != position.hint { return "does not name the one before" }
    if header.flags != RecordHeader.lastOfWrite || header.keyID != 0 {
      return "has flags or a key that are not known"
    }
    let isBare = header.dataMask | header.zeroMask == 0 && header.cellLengths == CellLengths()
    if header.type == .zero, !isBare { return "is of zeros, and names pages or cells" }
    if header.type == .data, header.blockCount != 1 { return "is not of one block" }
    if !configuration.disks.contains(where: { UInt32($0.number) == header.disk }) {
      return "is about disk \(header.disk), which the machine has not"
    }
    return nil
  }

  /// Makes a recovery point that a source elsewhere describes, as `mark` does.
  ///
  /// - Throws: `.malformed` unless it is of disks of the machine, each once and of a size that a disk can
  ///   have, and has a label that points may have.
  public func mark(sent new: NewPoint) throws(VaultError) -> RecoveryPoint {
    if let objection = objection(to: new) { throw malformed("a recovery point \(objection)") }
    return try mark(new)
  }

  private func objection(to new: NewPoint) -> String? {
    let numbers = new.disks.map(\.number)
    guard !numbers.isEmpty, Set(numbers).count == numbers.count else {
      return "names no disk, or one twice"
    }
    let known = Set(configuration.disks.map(\.number))
    for disk in new.disks {
      guard known.contains(disk.number) else {
        return "is of disk \(disk.number), which the machine has not"
      }
      guard disk.size > 0, disk.size % 512 == 0, disk.size <= Layout.largestDisk else {
        return "has a disk \(disk.number) of \(disk.size) bytes"
      }
    }
    return new.label.flatMap { label in
      PointSelector.objection(toLabel: label).map { "can't be labelled '\(label)': \($0)" }
    }
  }

  private func malformed(_ what: String) -> VaultError {
    VaultError(
      .malformed,
      "What was sent for '\(configuration.name)' was not stored: \(what). The source has to start a "
        + "new session.")
  }
}
