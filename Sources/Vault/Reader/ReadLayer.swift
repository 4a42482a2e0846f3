/// One log that a disk is read from: a machine's at a cut, or what a branch holds above one.
struct ReadLayer: Sendable {
  /// The newest first.
  let runs: [Run]
  let timeline: Timeline
  let identity: LogIdentity
  let files: LogFiles
  /// Keeps the files of the cut from being removed.
  let lease: ReaderLease?

  init(
    runs: [Run], timeline: Timeline, identity: LogIdentity, files: LogFiles, lease: ReaderLease?
  ) {
    self.runs = runs.filter { $0.oldest <= timeline.cut }
    (self.timeline, self.identity, self.files) = (timeline, identity, files)
    self.lease = lease
  }
}
