internal import FileIO

/// The way to a disk server that runs.
///
/// All calls block until the server has answered or time has run out. While a server is being replaced,
/// nobody listens for some tenths of a second: callers wait that out.
public struct DiskServerClient: Hashable, Sendable {
  /// Where the server is.
  public let directory: RunDirectory

  /// Seconds that a server may take to answer, besides what it was asked to wait for.
  public static let patience = 20.0

  /// Seconds that it may take to make durable what was written: a slow disk may have gigabytes to take.
  public static let flushPatience = 300.0

  /// The way to the server of a run directory; nobody need be there.
  public init(_ directory: RunDirectory) { self.directory = directory }

  /// How the server is; it may take so many seconds to say so.
  ///
  /// - Throws: `.timeout` for one that hangs.
  public func status(
    within seconds: Double = Self.patience
  ) throws(DiskServerError) -> DiskServerStatus {
    guard case .status(let status) = try ask(.status, for: seconds - Self.patience) else {
      throw unexpected
    }
    return status
  }

  /// Makes all writes durable.
  public func flush() throws(DiskServerError) { try done(.flush, for: Self.flushPatience) }

  /// Waits at most so long until nobody has the disks open, makes everything durable, and has writes
  /// refused from then on. Doing it twice is no error.
  ///
  /// - Throws: `.inUse` if somebody still has a disk open; nothing is changed then.
  public func freeze(within seconds: Double) throws(DiskServerError) {
    try done(.freeze(seconds: seconds), for: seconds + Self.flushPatience)
  }

  /// Lets the disks be written to again.
  public func thaw() throws(DiskServerError) { try done(.thaw, for: 0) }

  /// Has the disks copied to plain files while they are used; `status` tells how far that is.
  public func flatten() throws(DiskServerError) { try done(.flatten, for: 0) }

  /// Gives that up, unless it was done; what was copied is gone when it returns.
  public func cancelFlatten() throws(DiskServerError) {
    try done(.cancelFlatten, for: Self.flushPatience)
  }

  /// Has the server end, and its mount taken away, once nobody has the disks open; waits at most so long.
  /// With `force` it is taken away from those who have, whose next call fails.
  ///
  /// - Throws: `.inUse` if somebody still has a disk open; the server goes on then.
  public func quit(within seconds: Double, force: Bool = false) throws(DiskServerError) {
    try done(.quit(seconds: seconds, force: force), for: seconds)
  }

  /// Has a successor take over, which runs the program as it is now; whoever uses the disks waits for it.
  public func handOver() throws(DiskServerError) { try done(.handOver, for: Self.flushPatience) }

  private func done(_ request: DiskRequest, for seconds: Double) throws(DiskServerError) {
    guard case .done = try ask(request, for: seconds) else { throw unexpected }
  }

  private var unexpected: DiskServerError {
    DiskServerError(
      .failed, "The disk server at '\(directory.path)' gave an answer to another question.")
  }

  private func ask(
    _ request: DiskRequest, for seconds: Double
  ) throws(DiskServerError) -> DiskAnswer {
    let deadline = ContinuousClock.now + .seconds(seconds + Self.patience)
    let message = try ControlText.line(request)
    while true {
      // Whoever dies while answering is replaced, and everything that can be asked for can be asked twice.
      if let line = try answer(to: message, until: deadline) {
        let answer = try ControlText.read(DiskAnswer.self, line)
        guard case .failed(let code, let message) = answer else { return answer }
        throw DiskServerError(code, message)
      }
      guard !directory.processes.isEmpty else { throw notRunning }
      guard ContinuousClock.now < deadline else { throw timeout }
      ProcessSignals.sleep(.milliseconds(20))
    }
  }

  /// Nil if nobody listens, or who listened is gone.
  private func answer(
    to message: [UInt8], until deadline: ContinuousClock.Instant
  ) throws(DiskServerError) -> [UInt8]? {
    // Whoever listens in a directory of somebody else's may be anybody.
    guard directory.owner != nil else { return nil }
    do throws(IOError) {
      var stream = try ByteStream(connectingTo: directory.control, until: deadline)
      try stream.send(message, until: deadline)
      return try stream.line(limit: ControlText.limit, until: deadline)
    } catch {
      if error.isTimeout { throw timeout }
      guard error.isMissing || error.isNobodyThere || error.isHungUp else {
        throw DiskServerError(.failed, error)
      }
      return nil
    }
  }

  private var notRunning: DiskServerError {
    DiskServerError(.notRunning, "No disk server runs at '\(directory.path)'.")
  }

  private var timeout: DiskServerError {
    DiskServerError(
      .timeout,
      "The disk server at '\(directory.path)' did not answer in time. It may be waiting for "
        + "the disk that the vault lies on.")
  }
}
