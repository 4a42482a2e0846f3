internal import Bytes
internal import Synchronization

/// One disk of an open branch: how it is read just now.
final class BranchView: Sendable {
  let number: DiskNumber
  let size: UInt64
  private let current: Shared<DiskReader>

  init(_ disk: PointDisk, _ layers: [ReadLayer]) {
    (number, size) = (disk.number, disk.size)
    current = Shared(DiskReader(number: disk.number, size: disk.size, layers: layers))
  }

  /// Reads everything that was answered so far, and what is written meanwhile in part.
  var reader: DiskReader { current.read { $0.pointee } }

  fileprivate func look(through layers: [ReadLayer]) {
    let reader = DiskReader(number: number, size: size, layers: layers)
    current.change { $0 = reader }
  }
}

/// What an open branch is read from: its segments that are not sealed, its runs, and the machine's log below.
/// Safe from any thread.
final class BranchViews: Sendable {
  private struct State {
    /// The oldest first.
    var unsealed: [BranchSegment] = []
    var runs: [FileRun]
    var lease: ReaderLease
  }

  let disks: [BranchView]
  private let place: LogPlace
  private let base: ReadLayer
  private let state: Mutex<State>

  init(
    _ disks: [PointDisk], above base: ReadLayer, at place: LogPlace, runs: [FileRun],
    generation: UInt64
  ) {
    (self.place, self.base) = (place, base)
    let lease = ReaderLease(
      directory: place.directory, generation: generation, on: place.system)
    let state = State(runs: runs, lease: lease)
    let layers = [Self.layer(state, place), base]
    self.disks = disks.map { BranchView($0, layers) }
    self.state = Mutex(state)
  }

  /// Lets a new segment be read, which takes the writes from now on.
  func begin(_ segment: BranchSegment) { change { $0.unsealed.append(segment) } }

  /// Reads these runs instead of those before, and no longer the segments that became some of them.
  func take(_ runs: [FileRun], sealed: [BranchSegment], generation: UInt64) {
    let lease = ReaderLease(
      directory: place.directory, generation: generation, on: place.system)
    change { state in
      state.unsealed.removeAll { segment in sealed.contains { $0 === segment } }
      (state.runs, state.lease) = (runs, lease)
    }
  }

  private func change(_ body: (inout State) -> Void) {
    state.withLock { state in
      body(&state)
      let layers = [Self.layer(state, place), base]
      for disk in disks { disk.look(through: layers) }
    }
  }

  private static func layer(_ state: State, _ place: LogPlace) -> ReadLayer {
    layer(state, place, open: state.unsealed.map { .open($0.index) }, cut: .last)
  }

  private static func layer(
    _ state: State, _ place: LogPlace, open: [Run], cut: SequenceNumber
  ) -> ReadLayer {
    ReadLayer(
      runs: open.reversed() + state.runs.reversed().map(Run.file),
      timeline: Timeline(cut: cut, branchings: []), identity: place.identity,
      files: place.files, lease: state.lease)
  }

  /// What is there now, as it stays while more is written; nothing may be added during the call.
  func freeze(at cut: SequenceNumber) -> FrozenLayers {
    let state = state.withLock { $0 }
    let older = state.unsealed.dropLast().map { Run.open($0.index) }
    let newest = state.unsealed.last?.index.entries ?? []
    return FrozenLayers(entries: newest, base: base) { [place] newest in
      Self.layer(state, place, open: older + [.memory(newest)], cut: cut)
    }
  }
}
