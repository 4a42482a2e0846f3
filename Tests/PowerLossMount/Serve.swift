import CFuse
import FileIO
import Glibc
import Support
import Synchronization

/// The mount could not be made; libfuse has printed why.
struct MountFailed: Error {}

/// The session that SIGTERM ends; set once, before anything is served.
nonisolated(unsafe) var servedSession: OpaquePointer?

/// Whether the session is over, so that there is nothing left to end.
let sessionHasEnded = Atomic(false)

/// Lets SIGTERM end the session, at any time and any number of times: libfuse puts no handler of its
/// own over one that is there, and would take its own away before the state is stored.
private func endSessionOnSignal() {
  var action = sigaction()
  action.__sigaction_handler.sa_handler = { _ in
    guard !sessionHasEnded.load(ordering: .acquiring) else { return }
    guard let servedSession else { _exit(1) }
    fuse_session_exit(servedSession)
  }
  sigaction(SIGTERM, &action, nil)
}

/// Serves a copy of the backing directory until the power fails or the service is ended, then puts
/// into that directory what a restart would find.
func serve(_ options: Options) throws {
  // libfuse goes to the root directory before it serves.
  let backing = try FileSystem.resolved(options.backing)
  let disk = SimulatedDisk(seed: options.seed)
  try disk.load(from: backing)
  disk.setCapacity(options.capacity)
  if let calls = options.powerOffAfter { disk.cutPower(after: calls) }
  if let syncs = options.failSyncAfter { disk.failSyncs(after: syncs) }

  let served = ServedDisk(disk)
  // Never released: a late SIGUSR1 finds it as long as the program runs.
  let context = Unmanaged.passRetained(served)
  endSessionOnSignal()
  cutPowerOnSignal(context.toOpaque())
  let mountOptions: String = options.mountOptions.joined(separator: ",")
  let command = ["PowerLossMount", "-f", "-o", mountOptions, options.mountPoint]
  var arguments: [UnsafeMutablePointer<CChar>?] = command.map { strdup($0) }
  var operations = fuseOperations()
  let status = fuse_main_real(
    Int32(arguments.count), &arguments, &operations, MemoryLayout<fuse_operations>.size,
    context.toOpaque())
  for argument in arguments { free(argument) }
  // A loop that a signal ended is counted as a failure, 7 or 8; less means that it never began.
  guard status == 0 || status >= 7 else { throw MountFailed() }

  if served.finish() {
    print("power lost at change \(disk.changes), seed \(options.seed)")
    disk.crash(options.loss)
  } else {
    print("stopped")
    disk.syncAll()
  }
  try disk.store(to: backing)
}

/// Starts a thread that waits for SIGUSR1, cuts the power and ends the service.
private func cutPowerOnSignal(_ context: UnsafeMutableRawPointer) {
  var signals = sigset_t()
  sigemptyset(&signals)
  sigaddset(&signals, SIGUSR1)
  // Every thread started later inherits the mask, so only the waiting one takes the signal.
  pthread_sigmask(SIG_BLOCK, &signals, nil)
  var waiter = pthread_t()
  pthread_create(
    &waiter, nil,
    { context in
      // The signals that end the service are for the threads that serve.
      var signals = sigset_t()
      sigfillset(&signals)
      pthread_sigmask(SIG_BLOCK, &signals, nil)
      sigemptyset(&signals)
      sigaddset(&signals, SIGUSR1)
      var taken: Int32 = 0
      sigwait(&signals, &taken)
      guard let context else { return nil }
      Unmanaged<ServedDisk>.fromOpaque(context).takeUnretainedValue().cutPower()
      kill(getpid(), SIGTERM)
      return nil
    }, context)
}
