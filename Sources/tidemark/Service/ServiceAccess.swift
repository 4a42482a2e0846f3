internal import Bytes
internal import Catalog
internal import ControlAPI
internal import Operations
internal import Vault

/// The way to change a vault: through its service, or, where none runs, by this process itself, which
/// then holds the vault's lock. Either way the same requests get the same answers.
struct ServiceAccess {
  /// The API, wherever it is.
  let client: ControlClient
  /// Whether a service answers, which goes on when this process has ended.
  var isService: Bool { own == nil }
  private let own: VaultService?

  /// Finds the service of a vault, or takes the vault's lock.
  ///
  /// - Throws: `.locked` if another process has the lock and is no service.
  init(to vault: Vault) throws(OperationError) {
    if let client = try Self.service(of: vault) {
      (self.client, own) = (client, nil)
      return
    }
    let service = try VaultService(vault)
    service.prepareRecovery(service.usualRecoveryParts)
    own = service
    client = ControlClient(DirectTransport(Control(service, version: Tidemark.version)))
  }

  /// The API of the service that runs for a vault; nil if none does.
  private static func service(of vault: Vault) throws(OperationError) -> ControlClient? {
    guard let notice = ServiceNotice(in: vault.path) else { return nil }
    let transport = try NetworkTransport(to: .socket(notice.socket))
    guard try transport.isReachable() else { return nil }
    let client = ControlClient(transport)
    // A socket's path may have been taken over by the service of another vault.
    let id = try client.service().vault.id
    return id == vault.description.id.description ? client : nil
  }

  /// The API of the service that runs for a vault; nil if none does, or if this user may not ask it:
  /// what only reads then makes do with the vault's files.
  static func running(for vault: Vault) -> ControlClient? {
    (try? service(of: vault)) ?? nil
  }

  /// Uses the way for as long as `body` takes.
  static func with<Result>(
    _ vault: Vault, _ body: (ServiceAccess) throws -> Result
  ) throws -> Result {
    let access = try ServiceAccess(to: vault)
    defer { _ = access.own?.close() }
    return try body(access)
  }
}

extension ServiceAccess {
  /// Looks at a job, every fifth of a second at the least, until it has ended, and gives it as it
  /// ended; asks it to stop once somebody wants this process to. `each` is called with what every
  /// look found.
  func follow(
    _ job: JobDocument, _ each: (JobDocument) throws -> Void
  ) throws -> JobDocument {
    var (job, pause, isCancelled) = (job, 5, false)
    while !job.state.isFinal {
      if Interruption.isRequested, !isCancelled {
        isCancelled = true
        // It may have ended just now: the next look tells.
        _ = try? client.cancel(job.id)
      }
      Interruption.wait(milliseconds: pause, unlessRequested: !isCancelled)
      pause = min(200, pause * 2)
      job = try look(at: job)
      try each(job)
    }
    return job
  }

  private func look(at job: JobDocument) throws(OperationError) -> JobDocument {
    do throws(OperationError) { return try client.job(job.id) } catch {
      guard isService, error.code == .failed else { throw error }
      throw OperationError(
        .failed,
        "The service was lost before job \(job.id) ended; 'tidemark jobs' tells what became of it. "
          + error.message)
    }
  }
}
