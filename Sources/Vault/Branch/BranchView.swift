internal import Bytes
internal import Synchronization

/// One disk of an open branch: how it is read just now.
final class BranchView: Sendable {
  /// What holds the bytes of the disk.
  enum Source: Sendable {
    /// The branch's log, and the machine's below.
    case log(DiskReader)
    /// A plain file, which is written to as well.
    case file(FlatDisk)
  }

  let number: DiskNumber
  let size: UInt64
  private let current: Shared<Source>

  init(_ disk: PointDisk, _ layers: [ReadLayer]) {
    (number, size) = (disk.number, disk.size)
    current = Shared(.log(DiskReader(number: disk.number, size: disk.size, layers: layers)))
  }

  init(_ disk: FlatDisk) {
    (number, size) = (disk.number, disk.size)
    current = Shared(.file(disk))
  }

  /// Reads everything that was answered so far, and what is written meanwhile in part.
  @inline(__always)
  var source: Source { current.read { $0.pointee } }

  /// The plain file, if the branch was flattened.
  var flat: FlatDisk? {
    if case .file(let disk) = source { return disk }
    return nil
  }

  func readPages(
    into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64
  ) throws(VaultError) {
    switch source {
    case .log(let reader): try reader.readPages(into: buffer, at: offset)
    case .file(let disk): try disk.read(into: buffer, at: offset)
    }
  }

  fileprivate func look(through layers: [ReadLayer]) {
    let reader = DiskReader(number: number, size: size, layers: layers)
    current.change { $0 = .log(reader) }
  }

  fileprivate func become(_ disk: FlatDisk) { current.change { $0 = .file(disk) } }
}

/// What an open branch is read from: its segments that are not sealed, its runs, and the machine's log below; or
/// its plain files. Safe from any thread.
final class BranchViews: Sendable {
  private struct State {
    /// The oldest first.
    var unsealed: [BranchSegment] = []
    var runs: [FileRun]
    var lease: ReaderLease
    let base: ReadLayer
  }

  private enum Kind {
    case log(State)
    case files(FlatDisks)
  }

  let disks: [BranchView]
  private let place: LogPlace
  private let kind: Mutex<Kind>

  init(
    _ disks: [PointDisk], above base: ReadLayer, at place: LogPlace, runs: [FileRun],
    generation: UInt64
  ) {
    self.place = place
    let lease = ReaderLease(
      directory: place.directory, generation: generation, on: place.system)
    let state = State(runs: runs, lease: lease, base: base)
    let layers = [Self.layer(state, place), base]
    self.disks = disks.map { BranchView($0, layers) }
    kind = Mutex(.log(state))
  }

  /// Those of a branch that was flattened.
  init(_ flat: FlatDisks, at place: LogPlace) {
    self.place = place
    disks = flat.disks.map { BranchView($0) }
    kind = Mutex(.files(flat))
  }

  /// The plain files, if the branch was flattened.
  var flat: FlatDisks? {
    kind.withLock { kind in
      if case .files(let files) = kind { return files }
      return nil
    }
  }

  /// Reads the plain files from now on, and lets go of all that was read before; nobody writes during the call.
  func become(_ flat: FlatDisks) {
    kind.withLock { kind in
      kind = .files(flat)
      for disk in disks { if let file = flat.disk(disk.number) { disk.become(file) } }
    }
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
    kind.withLock { kind in
      guard case .log(var state) = kind else { return }
      body(&state)
      kind = .log(state)
      let layers = [Self.layer(state, place), state.base]
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

  /// What is there now, as it stays while more is written; nothing may be added during the call. Nil for plain
  /// files, which do not stay.
  func freeze(at cut: SequenceNumber) -> FrozenLayers? {
    guard case .log(let state) = kind.withLock({ $0 }) else { return nil }
    let older = state.unsealed.dropLast().map { Run.open($0.index) }
    let newest = state.unsealed.last?.index.entries ?? []
    return FrozenLayers(entries: newest, base: state.base) { [place] newest in
      Self.layer(state, place, open: older + [.memory(newest)], cut: cut)
    }
  }
}
