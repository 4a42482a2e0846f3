public import Bytes
internal import FileIO

/// Checks everything that a branch holds, whether a disk server has it open or not: its MANIFEST and the copy of
/// how that begins, its log and the log's index, and that the machine's log keeps the cut it stands on.
///
/// Takes no lock and writes nothing; a lease keeps the files of the branch, as they were when this was made, from
/// being retired. Nobody is kept from removing the branch itself: what is found behind that is of no use. What lies
/// in the directory and is no part of the log is nobody's damage.
public final class BranchCheck {
  /// What the branch is.
  public let description: BranchDescription
  private let vault: Vault
  private let manifest: Manifest
  private let place: LogPlace
  private let lease: ReaderLease
  private let log: LogCheck
  /// Why its disks can't be opened; nil if they can.
  private let problem: VaultError?

  /// Prepares the check of a branch.
  ///
  /// - Throws: `.unknownBranch`, or `.damaged` if its MANIFEST can't be read, so that nothing else can be checked.
  public init(
    _ id: Identifier, in vault: Vault,
    progress: @escaping (_ done: UInt64, _ total: UInt64) -> Void = { _, _ in },
    cancelled: @escaping () -> Bool = { false }
  ) throws(VaultError) {
    self.vault = vault
    (description, manifest, place, lease) = try Self.read(id, in: vault)
    let (description, manifest, place) = (description, manifest, place)
    var cut: BranchCut?
    var problem: VaultError?
    do throws(VaultError) { cut = try vault.readBranch(id, isGlance: true) } catch {
      guard Self.isDamage(error) else { throw error }
      problem = error
    }
    self.problem = problem
    let open = try Self.replays(of: manifest, description, at: place)
    let itself = LogReaders.Branch(id: id, limit: .last, cut: cut)
    log = LogCheck(
      CheckReport(name: description.name, points: 0), at: place,
      disks: description.disks.map(\.number),
      readers: LogReaders(snapshot: nil, branches: [itself]),
      progress: progress, cancelled: cancelled
    ) { segment, size throws(VaultError) in
      if let known = open[segment.number] { return known }
      return try place.replay(
        segment, size: size, disks: description.disks.map(\.number), countsUnsynced: true)
    }
  }

  /// Reads the MANIFEST, and keeps what it names from being removed.
  private static func read(
    _ id: Identifier, in vault: Vault
  ) throws(VaultError) -> (BranchDescription, Manifest, LogPlace, ReaderLease) {
    for _ in 0..<100 {
      let (description, manifest, place) = try vault.branchFiles(id)
      let lease = ReaderLease(
        directory: place.directory, generation: manifest.state.generation, isGlance: true,
        on: vault.system)
      let size = try translated { () throws(IOError) in
        try vault.system.status(place.manifestPath).size
      }
      // The lease counts only if nothing was retired before it was taken.
      if size == manifest.length + manifest.tail { return (description, manifest, place, lease) }
    }
    throw VaultError(.io, "Branch \(id) keeps changing while it is read. Try again.")
  }

  private static func isDamage(_ error: VaultError) -> Bool {
    error.code == .damaged || error.cause?.isMissing == true
  }

  /// What counts of the segments that are not sealed, by number; nothing where they don't fit to each other.
  private static func replays(
    of manifest: Manifest, _ description: BranchDescription, at place: LogPlace
  ) throws(VaultError) -> [UInt32: SegmentReplay] {
    let sealed = manifest.state.segments.compactMap { $0.sealed?.lastSequence }.max() ?? .zero
    do throws(VaultError) {
      let found = try place.replayBranch(
        manifest.state.openSegments, disks: description.disks,
        after: max(description.start, sealed), manifest)
      return Dictionary(found.map { ($0.segment.number, $0.replay) }) { first, _ in first }
    } catch {
      guard isDamage(error) else { throw error }
      return [:]
    }
  }

  /// Checks everything.
  ///
  /// - Throws: `.cancelled`, or the failure of a system call; damage is in the report instead.
  public func run() throws(VaultError) -> CheckReport {
    defer { withExtendedLifetime(lease) {} }
    try log.run(manifest, mending: "the next start of its disk server")
    try checkFirst()
    if let problem, !isLeftOver {
      log.add(
        Damage(
          file: Manifest.fileName, offset: 0, what: Self.clause(problem.message),
          hurts: Hurt(branches: [description.id])))
    }
    return log.report
  }

  /// The copy of the MANIFEST's beginning, by which it would be made anew.
  private func checkFirst() throws(VaultError) {
    let path = place.directory + "/" + Manifest.firstName
    do throws(VaultError) {
      let first = try Manifest.read(path, identity: place.identity, on: place.system)
      var known = first.state.branch
      // The branch may be flattened at this moment.
      known?.isFlat = description.isFlat
      guard known != description || !first.repaired.isEmpty else { return }
    } catch {
      guard Self.isDamage(error) else { throw error }
    }
    log.add(
      Damage(
        file: Manifest.firstName, offset: 0,
        what:
          "the copy of the MANIFEST's beginning is damaged; only 'tidemark vault rebuild' needs it")
    )
  }

  /// Whether nothing stands for it any more: a service that starts clears it away.
  private var isLeftOver: Bool {
    guard let pins = try? vault.machine(description.machine).snapshot().pins,
      !pins.contains(where: { $0.branch == description.id })
    else { return false }
    return description.purpose == .drill || pins.contains { $0.purpose == .failover }
  }

  private static func clause(_ sentence: String) -> String {
    sentence.hasSuffix(".") ? String(sentence.dropLast()) : sentence
  }
}
