internal import Bytes

extension Machine {
  /// Where the log of a snapshot goes on, as a writer would find it.
  func position(of snapshot: MachineSnapshot) -> LogPosition {
    let newest = snapshot.branchings.map(\.first).max() ?? .zero
    let hint =
      snapshot.hint.sequence > 0 ? snapshot.hint : place().lastHint(of: snapshot.sealed)
    return LogPosition(
      sequence: max(snapshot.lastSequence, newest), time: snapshot.lastTime, hint: hint)
  }
}
