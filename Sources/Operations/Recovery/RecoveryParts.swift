public import Bytes
public import Catalog
public import Compute
public import Vault

/// Makes and removes the branches that drills and failed-over disks are. Pins are the caller's.
public protocol RecoveryBranches: Sendable {
  /// Makes the branch of a pin that is durable; when it returns the branch is whole and durable. One that is
  /// there already is left as it is; what a crash left half-made is made anew. `budget` is how many bytes may
  /// be stored in it; nil for as many as the vault has room for.
  func make(
    _ pin: BranchPin, named name: String, of machine: Machine, budget: UInt64?
  ) throws(OperationError)

  /// Removes a branch with all that was written to it; nothing if there is none.
  ///
  /// - Throws: `.locked` while a process serves it, or reads it.
  func remove(_ branch: Identifier) throws(OperationError)

  /// All branches that are whole.
  func all() throws(OperationError) -> [BranchDescription]
}

/// Starts, finds and ends the processes that serve branches as disks.
public protocol RecoveryDiskServers: Sendable {
  /// Serves a branch from now on; one that is served already stays so. Returns once its disks can be opened.
  func serve(_ branch: Identifier) throws(OperationError) -> ServedBranch

  /// How a branch is served; nil if it is not. Whoever serves it is given two seconds to tell.
  func served(_ branch: Identifier) throws(OperationError) -> ServedBranch?

  /// The directory with the disks of a branch; nil if it is not served. Asks no server, which may hang.
  func place(of branch: Identifier) throws(OperationError) -> String?

  /// Why the server of a branch gave its disks up by itself; nil if that is not known.
  func reason(of branch: Identifier) -> String?

  /// Serves a branch whose disks refuse writes until `thaw`; one that is served already stays as it is.
  func serveFrozen(_ branch: Identifier) throws(OperationError) -> ServedBranch

  /// Waits at most so many seconds until nobody has the disks of a branch that is served open, makes
  /// everything durable, and has writes refused from then on.
  ///
  /// - Throws: `.locked` if somebody still has a disk open; nothing is changed then.
  func freeze(_ branch: Identifier, within seconds: Double) throws(OperationError)

  /// Lets the disks of a branch that is served be written to again.
  func thaw(_ branch: Identifier) throws(OperationError)

  /// Begins to copy the disks of a branch that is served to plain files, while they are used; nothing happens
  /// if that runs, or was done.
  func flatten(_ branch: Identifier) throws(OperationError)

  /// Gives that up; nothing happens if it does not run, or was done. What was copied is gone when it returns.
  func cancelFlatten(_ branch: Identifier) throws(OperationError)

  /// How far that is; nil if the branch is not served.
  func copy(of branch: Identifier) throws(OperationError) -> BranchCopy?

  /// Serves a branch no more, whoever has its disks open: what was written and flushed is kept. Nothing if it
  /// is not served.
  func end(_ branch: Identifier) throws(OperationError)
}

extension RecoveryDiskServers {
  /// The directory with the disks of a branch; nil if it is not served. Asks no server, which may hang.
  public func place(of branch: Identifier) throws(OperationError) -> String? {
    try served(branch)?.directory
  }

  /// Why the server of a branch gave its disks up by itself; nil if that is not known.
  public func reason(of branch: Identifier) -> String? { nil }

  /// Those that can't copy disks say so.
  public func flatten(_ branch: Identifier) throws(OperationError) {
    throw OperationError(.refused, "These disks can't be copied to plain files.")
  }

  /// Nothing is copied that could be given up.
  public func cancelFlatten(_ branch: Identifier) throws(OperationError) {}

  /// Nothing is copied.
  public func copy(of branch: Identifier) throws(OperationError) -> BranchCopy? { .idle }
}

/// How far the copy of a branch to plain files is.
public enum BranchCopy: Hashable, Sendable {
  /// Nothing is copied.
  case idle
  /// Bytes of the disks that were gone through, and all of them; none while that is not known.
  case running(done: UInt64, total: UInt64)
  /// It ended by itself, for this reason, and the branch is as it was.
  case failed(String)
  /// The disks are plain files.
  case done
}

/// A branch that is served as disks.
public struct ServedBranch: Hashable, Sendable {
  /// How its disk server is.
  public enum Server: Hashable, Sendable {
    /// It answers.
    case answers
    /// It does not answer, be it that it hangs, or that what it waits for does; its process, if that is known.
    case silent(Int32?)
    /// It answers, and has worked on one request for so many seconds.
    case stuck(Int32?, seconds: Int)
  }

  /// The directory with its disks.
  public var directory: String
  /// The paths of its disks, by number.
  public var disks: [(number: DiskNumber, path: String)] {
    numbers.map { ($0, "\(directory)/disk\($0).raw") }
  }
  /// The numbers of its disks.
  public var numbers: [DiskNumber]
  /// Bytes that were written to it.
  public var writtenBytes: UInt64
  /// Bytes that may be; nil for as many as the vault has room for.
  public var budgetBytes: UInt64?
  /// How many have one of its disks open.
  public var openCount: Int
  /// Whether writes are refused.
  public var isFrozen: Bool
  /// How its disk server is.
  public var server = Server.answers
  /// Whether that has told who has its disks open, and whether writes are refused.
  public var isKnown = true

  /// What is wrong with its disk server, as a sentence; nil for nothing.
  var trouble: String? {
    func words(_ process: Int32?) -> String { process.map { " (process \($0))" } ?? "" }
    switch server {
    case .answers: return nil
    case .silent(let process):
      return
        "The server of its disks\(words(process)) does not answer: it hangs, or waits for the disk that "
        + "the vault lies on."
    case .stuck(let process, let seconds):
      return
        "The server of its disks\(words(process)) has worked on one request for \(seconds) s: whoever "
        + "made it waits."
    }
  }

  /// What is to be said before it is served no more; nil for nothing.
  var endWarning: String? {
    if case .silent = server {
      return
        "\(trouble ?? "") It is killed if it does not end; nothing is lost that it had answered."
    }
    guard openCount > 0 else { return nil }
    return
      "Somebody has its disks open (\(openCount) times): who still has in 10 s loses them, and what was "
      + "not written to them yet."
  }

  /// A branch that is served in a directory.
  public init(
    directory: String, numbers: [DiskNumber], writtenBytes: UInt64 = 0,
    budgetBytes: UInt64? = nil, openCount: Int = 0, isFrozen: Bool = false
  ) {
    (self.directory, self.numbers, self.openCount) = (directory, numbers, openCount)
    (self.writtenBytes, self.budgetBytes) = (writtenBytes, budgetBytes)
    self.isFrozen = isFrozen
  }
}

/// What drills and failovers are made with.
public struct RecoveryParts: Sendable {
  /// Makes branches.
  public var branches: any RecoveryBranches
  /// Serves them.
  public var servers: any RecoveryDiskServers
  /// Runs machines on them, where that is asked for.
  public var provider: any ComputeProvider
  /// The directory of what belongs to the run of a branch's machine.
  public var directory: @Sendable (Identifier) -> String
  /// The command of a process that reads facts of a guest's disks (`GuestFactsProcess`); nil if there is
  /// none: what they tell is not checked then.
  public var guestFacts: [String]?
  /// How long it is waited for a machine that was started to show its addresses.
  public var addressTime = Duration.seconds(120)
  /// How long it is waited for an agent, its source and its last recovery point, where that is asked for.
  public var sourceLimits = SourceLimits()

  /// Seconds that are waited for a source.
  public struct SourceLimits: Sendable {
    /// For an agent that is not connected: it may just be coming back.
    public var contact = 10
    /// For the source to shut down.
    public var shutdown = 180
    /// For the last recovery point behind that.
    public var lastPoint = 120

    /// The usual limits.
    public init() {}
  }

  /// These parts.
  public init(
    branches: any RecoveryBranches, servers: any RecoveryDiskServers,
    provider: any ComputeProvider, guestFacts: [String]? = nil,
    directory: @escaping @Sendable (Identifier) -> String
  ) {
    (self.branches, self.servers) = (branches, servers)
    (self.provider, self.guestFacts, self.directory) = (provider, guestFacts, directory)
  }

  /// What runs the machine of a branch: as was asked for when it was begun, or later, or as its directory
  /// tells where a lost catalog does not. What runs and does not answer is there: nobody may take its disks.
  public func provider(of record: RecoveryRecord) -> any ComputeProvider {
    guard record.request?.boots != true else { return provider }
    guard let branch = record.branch else { return NoCompute() }
    do throws(ComputeError) {
      let seen = try provider.observe(in: directory(branch))
      return seen == nil || seen?.power == .off ? NoCompute() : provider
    } catch { return provider }
  }
}
