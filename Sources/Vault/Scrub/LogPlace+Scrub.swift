internal import Bytes
internal import Codecs
internal import FileIO

/// What the segments of a log tell without its MANIFEST.
extension LogPlace {
  /// The header of a segment, a single flipped bit put right; nil if there is none.
  func header(of file: LogFile) throws(VaultError) -> SegmentHeader? {
    var bytes = try translated { () throws(IOError) in try file.file.read(at: 0, count: 1 << 16) }
    if let found = SegmentHeader.decode(bytes) { return found.header }
    bytes = Array(bytes.prefix(1024))
    _ = SingleBitRepair.repair(&bytes) { SegmentHeader.decode(Array($0)) != nil }
    return SegmentHeader.decode(bytes)?.header
  }

  /// The trailer of a segment that was sealed, if it and its run are whole.
  func trailer(
    of file: LogFile, _ name: LogFileName, _ size: UInt64
  ) throws(VaultError) -> RunTrailer? {
    guard size >= UInt64(RunTrailer.size) else { return nil }
    let bytes = try translated { () throws(IOError) in
      try file.file.read(at: size - UInt64(RunTrailer.size), count: RunTrailer.size)
    }
    guard let trailer = RunTrailer(bytes, identity: identity), trailer.run.file == name,
      isIntact(trailer.run)
    else { return nil }
    return trailer
  }

  /// Whether every page of a run is there: after a failed sync some may not be, though its trailer is.
  private func isIntact(_ run: RunDescription) -> Bool {
    do throws(VaultError) {
      let file = try RunFile(
        run, identity: identity, files: files, cache: cache)
      return try file.damagedPages().isEmpty
    } catch {
      return false
    }
  }
}
