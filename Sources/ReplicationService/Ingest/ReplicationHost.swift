public import Bytes
public import Identity
public import Replication
public import Vault

/// Who decides about agents, and is told what they do: the service behind the listener.
///
/// Calls come from the listener's pool and may block.
public protocol ReplicationHost: Sendable {
  /// Lets an agent in, and gives it the log of its machine alone, or says why not.
  ///
  /// An older session of the same machine is ended first.
  func admit(
    _ peer: PeerIdentity, _ hello: Hello, on connection: Connection
  ) throws(Rejection) -> OpenLog

  /// Issues a new certificate to whoever asks for it rightly, or says why not; `peer` carries the wish.
  func renew(_ renewal: Renewal, from peer: PeerIdentity) throws(Rejection) -> Renewed

  /// The agent is alive; `clock` is what its clock says.
  func isAlive(_ machine: Identifier, clock: Timestamp)

  /// The agent told how it is doing.
  func reported(_ report: Report, by machine: Identifier)

  /// The replica may not be what the agent takes it for: the agent found that, or this service, which
  /// could not read what it has stored.
  func doubted(_ doubt: Doubt, by machine: Identifier)

  /// The agent told how far it is with an order to shut its machine down.
  func isShuttingDown(_ machine: Identifier, _ state: ShutdownState)

  /// The index of a machine's log can't be read in full, for this reason. Whether that hurts the replica or
  /// only older recovery points is not known.
  func damaged(_ machine: Identifier, _ reason: String)

  /// A group is durable; `point` is the recovery point it made.
  func stored(_ bytes: Int, point: RecoveryPoint?, of machine: Identifier)

  /// Whether there is room for another group; throws what the agent is told if there is not.
  func checkRoom() throws(Rejection)

  /// Making a group of the machine durable took so long.
  func spent(_ duration: Duration, storing machine: Identifier)

  /// The peer was turned away, or sent what is no frame, and its connection ends.
  func refused(_ peer: PeerIdentity, _ refusal: Refusal)

  /// The session is over, for `reason` if it did not just end; the log may be given to the next one.
  func ended(_ machine: Identifier, reason: String?)

  /// Says what to seal with for agents behind relays; nil if no relay is let in.
  var seal: ServiceSeal? { get }

  /// Judges the certificate of an agent that a relay is to carry.
  func identify(
    _ certificate: [UInt8], behind relay: PeerIdentity
  ) throws(Rejection) -> PeerIdentity

  /// Gives the log of a machine to a relay that has something left of a session, or says why not: the
  /// machine must have had no session since.
  func resume(
    _ session: Identifier, of peer: PeerIdentity, on connection: Connection
  ) throws(Rejection) -> OpenLog

  /// A relay told how it is doing; gives what it has to know.
  func heard(
    _ status: RelayStatus, from relay: PeerIdentity, on connection: Connection
  ) throws(Rejection) -> RelayOrders

  /// A relay's own connection has ended.
  func lost(_ relay: PeerIdentity, _ connection: Connection)
}

/// A host that lets no relay in.
extension ReplicationHost {
  private static var noRelays: Rejection { Rejection(.unknown, "No relay is let in here.") }

  /// Nothing.
  public var seal: ServiceSeal? { nil }

  /// Nothing.
  public func isShuttingDown(_ machine: Identifier, _ state: ShutdownState) {}

  /// Refuses.
  public func identify(
    _ certificate: [UInt8], behind relay: PeerIdentity
  ) throws(Rejection) -> PeerIdentity { throw Self.noRelays }

  /// Refuses.
  public func resume(
    _ session: Identifier, of peer: PeerIdentity, on connection: Connection
  ) throws(Rejection) -> OpenLog { throw Self.noRelays }

  /// Refuses.
  public func heard(
    _ status: RelayStatus, from relay: PeerIdentity, on connection: Connection
  ) throws(Rejection) -> RelayOrders { throw Self.noRelays }

  /// Does nothing.
  public func lost(_ relay: PeerIdentity, _ connection: Connection) {}
}

extension ReplicationHost {
  /// There is, unless a host says otherwise.
  public func checkRoom() throws(Rejection) {}

  /// Of no interest, unless a host says otherwise.
  public func damaged(_ machine: Identifier, _ reason: String) {}

  /// Of no interest, unless a host says otherwise.
  public func spent(_ duration: Duration, storing machine: Identifier) {}

  /// Of no interest, unless a host says otherwise.
  public func refused(_ peer: PeerIdentity, _ refusal: Refusal) {}

  /// Where no authority is, nothing is issued.
  public func renew(
    _ renewal: Renewal, from peer: PeerIdentity
  ) throws(Rejection) -> Renewed {
    throw Rejection(.unavailable, "No certificates are issued here.")
  }
}

/// What an agent is let in with.
public struct OpenLog {
  /// The machine's log, for this session, and for the host whenever that has borrowed its turn.
  public let log: MachineWriter
  /// Who uses the log at a moment.
  public let turn: LogTurn
  /// The vault.
  public let vault: Identifier
  /// The epoch of the machine.
  public let epoch: UInt32
  /// What the agent is to do.
  public let assignment: Assignment
  /// The name of the session.
  public let session: Identifier

  /// Lets an agent in.
  public init(
    log: MachineWriter, vault: Identifier, epoch: UInt32, assignment: Assignment,
    session: Identifier = .random(), turn: LogTurn = LogTurn()
  ) {
    (self.log, self.turn, self.vault, self.epoch) = (log, turn, vault, epoch)
    (self.assignment, self.session) = (assignment, session)
  }
}

/// Why an agent is not let in.
public struct Rejection: Error, Sendable {
  /// What it is told.
  public let refusal: Refusal

  /// Tells the agent this.
  public init(_ code: Refusal.Code, _ text: String, place: ServerPlace? = nil) {
    refusal = Refusal(code, text, place: place)
  }
}
