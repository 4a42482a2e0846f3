internal import Bytes
internal import FileIO

/// Telling whether what was found hurts the newest recovery point, by reading it where it may.
extension MachineCheck {
  /// Bytes read at a time.
  private static let step = UInt64(1 << 20)

  /// The first damage because of which the newest point can't be read in full.
  func newestDamage() throws(VaultError) -> Damage? {
    guard let newest = snapshot.points.last else { return nil }
    let buffer = UnsafeMutableRawBufferPointer.allocate(
      byteCount: Int(Self.step), alignment: Layout.pageSize)
    defer { buffer.deallocate() }
    for damage in log.report.damages where damage.points.contains(newest.id) {
      for disk in newest.disks where damage.disk == nil || damage.disk == disk.number {
        let reader = try snapshot.disk(disk.number, at: newest)
        let range = (damage.range ?? 0..<reader.size).clamped(to: 0..<reader.size)
        if try !isReadable(reader, range, buffer) { return damage }
      }
    }
    return nil
  }

  private func isReadable(
    _ disk: DiskReader, _ range: Range<UInt64>, _ buffer: UnsafeMutableRawBufferPointer
  ) throws(VaultError) -> Bool {
    var position = range.lowerBound
    while position < range.upperBound {
      // So that it can be cancelled.
      try log.advance(0)
      let count = min(Self.step, range.upperBound - position)
      do throws(VaultError) {
        try disk.readPages(
          into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<Int(count)]), at: position)
      } catch {
        guard error.code == .damaged || error.cause?.isMissing == true else { throw error }
        return false
      }
      position += count
    }
    return true
  }
}
