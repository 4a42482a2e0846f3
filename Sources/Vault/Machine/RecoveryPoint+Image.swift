public import Bytes

extension RecoveryPoint {
  /// The unique id of an image made of one of the point's disks, such as a VHD.
  ///
  /// The same whenever and by whatever it is made, so that an exported VHD equals the one in the mount,
  /// and another for every machine, point and disk.
  public func imageIdentifier(of disk: DiskNumber, machine: Identifier) -> Identifier {
    var mixer = Mixer()
    for part in [machine.high, machine.low, sequence.rawValue, UInt64(disk)] { mixer.add(part) }
    return Identifier.random(using: &mixer)
  }
}

extension BranchCut {
  /// The unique id that an image of one of its disks carries; the same for the same cut.
  public func imageIdentifier(of disk: DiskNumber) -> Identifier {
    var mixer = Mixer()
    let branch = description.id
    for part in [branch.high, branch.low, sequence.rawValue, UInt64(disk)] { mixer.add(part) }
    return Identifier.random(using: &mixer)
  }
}

/// Numbers that follow from what was added, by the steps of SplitMix64 (Steele, Lea and Flood, "Fast
/// splittable pseudorandom number generators", 2014).
private struct Mixer: RandomNumberGenerator {
  private var state: UInt64 = 0

  mutating func add(_ part: UInt64) { state = next() ^ part }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }
}
