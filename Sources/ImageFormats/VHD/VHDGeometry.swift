/// The cylinders, heads and sectors a VHD claims to have.
///
/// Some readers take the disk's size from them (QEMU before 10 does for all but a few creators), so
/// they follow the specification's rule ("CHS Calculation") to the bit.
package struct VHDGeometry: Hashable, Sendable {
  /// Cylinders.
  package var cylinders: UInt16
  /// Heads, which is tracks of a cylinder.
  package var heads: UInt8
  /// Sectors of a track.
  package var sectorsPerTrack: UInt8

  /// The geometry of these numbers.
  package init(cylinders: UInt16, heads: UInt8, sectorsPerTrack: UInt8) {
    (self.cylinders, self.heads) = (cylinders, heads)
    self.sectorsPerTrack = sectorsPerTrack
  }

  /// The sectors that the largest geometry covers, 127.5 GiB; larger disks have it too.
  package static let largest: UInt64 = 65535 * 16 * 255

  /// The geometry of a disk of so many sectors. It covers at most that many: the rest of the last
  /// cylinder is beyond its reach.
  package init(sectors: UInt64) {
    let total = min(sectors, Self.largest)
    var (heads, track): (UInt64, UInt64) = (16, 255)
    if total < 65535 * 16 * 63 {
      track = 17
      heads = max(4, (total / track + 1023) / 1024)
      if heads > 16 || total / track >= heads * 1024 { (heads, track) = (16, 31) }
      if track == 31, total / track >= heads * 1024 { track = 63 }
    }
    self.init(
      cylinders: UInt16(total / track / heads), heads: UInt8(heads), sectorsPerTrack: UInt8(track))
  }

  /// The sectors this geometry covers.
  package var sectors: UInt64 { UInt64(cylinders) * UInt64(heads) * UInt64(sectorsPerTrack) }
}
