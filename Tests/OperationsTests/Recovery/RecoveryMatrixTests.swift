import Testing

@testable import Operations

/// Goal: what may be done in which state is what Azure Site Recovery's documentation says, cell by cell.
/// Method: the table as it stands there, row by row; each cell is asked of the state machine.
@Suite struct RecoveryMatrixTests {
  /// A cell of the table.
  struct Cell: Sendable, CustomTestStringConvertible {
    let state: RecoveryState
    let action: RecoveryAction
    /// The state that it leads to once all is done; `later` for what comes with a later version; `E` for
    /// what is refused.
    let text: String

    var testDescription: String { "\(state) × \(action): \(text)" }
  }

  private static let columns: [RecoveryAction] = [
    .enable, .testFailover, .cleanup, .failover, .changePoint, .commit, .cancel, .reprotect,
    .failback,
    .resynchronise, .disable, .completeMigration, .discard, .flatten,
  ]

  /// The last three columns, and failoverFailed, are our own; so is a failover of a machine whose
  /// replication was stopped. Everything else follows the reference.
  private static let rows: [(RecoveryState, String)] = [
    // enable test cleanup failover change commit cancel reprotect failback resync disable migrate discard flatten
    (.unprotected, "enabling E E E E E E E E E E E E E"),
    (.enabling, "E E E E E E unprotected E E E unprotected E E E"),
    (.protected, "E testActive E failedOver E E E E E resynchronising unprotected E E E"),
    (
      .resynchronising,
      "E E E failedOver E E resynchronising E E resynchronising unprotected E E E"
    ),
    (.testActive, "E E protected E E E protected E E E E E E E"),
    (.failoverInProgress, "E E E E E E replicationStopped E E E E E E E"),
    (.failedOver, "E E E E failedOver committed E E E E unprotected unprotected E failedOver"),
    (.committed, "E E E E E E E later E E unprotected E E committed"),
    (.reprotecting, "E E E E E E E E E E unprotected E E E"),
    (.reverseProtected, "E later E E E E E E later later unprotected E E E"),
    (.failbackInProgress, "E E E E E E later E E E E E E E"),
    (.failedBack, "E E E E later later E E E E E E E E"),
    (.failedBackCommitted, "later E E E E E E later E E unprotected E E E"),
    (.replicationStopped, "E E E failedOver E E E E E E unprotected E E E"),
    (.failoverFailed, "E E E failedOver E E replicationStopped E E E E E E E"),
  ]

  static let cells: [Cell] = rows.flatMap { state, text in
    zip(columns, text.split(separator: " ")).map { action, cell in
      Cell(state: state, action: action, text: String(cell))
    }
  }

  @Test("the table has every state and every action")
  func whole() {
    #expect(Set(Self.rows.map(\.0)) == Set(RecoveryState.allCases))
    #expect(Set(Self.columns) == Set(RecoveryAction.allCases))
    #expect(Self.cells.count == RecoveryState.allCases.count * RecoveryAction.allCases.count)
  }

  @Test(
    "an action is done or refused as the table says, with the reason and what to do",
    arguments: cells)
  func cell(_ cell: Cell) throws {
    let standing = RecoveryStanding(cell.state)
    let refusal = standing.objection(to: cell.action)
    #expect(standing.allowed.contains(cell.action) == (refusal == nil))
    switch cell.text {
    case "E", "later":
      let refusal = try #require(refusal)
      #expect(refusal.isUnavailable == (cell.text == "later"))
      #expect(refusal.reason.hasSuffix(".") && refusal.advice.hasSuffix("."))
      let message = refusal.message(for: "web01")
      #expect(message.contains("'web01' is refused"))
      #expect(!message.contains("NAME"), "\(message)")
      if cell.text == "later" { #expect(message.contains("not available in this version")) }
      #expect(throws: refusal) { try standing.after(.asked(cell.action)) }
    default:
      let begun = try standing.after(.asked(cell.action))
      #expect(!begun.effects.isEmpty || cell.action == .cancel)
      let running = begun.standing.running
      let end = try running.map { try begun.standing.after(.succeeded($0)).standing }
      #expect((end ?? begun.standing).state.rawValue == cell.text)
      #expect((end ?? begun.standing).running == nil)
    }
  }

  @Test("a paused machine may be drilled and failed over as any other that is protected")
  func paused() throws {
    let paused = RecoveryStanding(.protected, isPaused: true)
    #expect(paused.allowed == RecoveryStanding(.protected).allowed)
    let drill = try paused.after(.asked(.testFailover)).standing.after(.succeeded(.testFailover))
    let clean = try drill.standing.after(.asked(.cleanup)).standing.after(.succeeded(.cleanup))
    #expect(clean.standing.isPaused && clean.standing.state == .protected)
  }

  @Test("while a job runs nothing else begins, except that what can be cancelled can be")
  func oneJob() throws {
    for start in [RecoveryAction.testFailover, .failover] {
      let running = try RecoveryStanding(.protected).after(.asked(start)).standing
      #expect(running.running == start && running.allowed == [.cancel])
      let stopped = try running.after(.asked(.cancel))
      #expect(stopped.effects == [.stopJob] && stopped.standing.allowed.isEmpty)
    }
    for (state, action) in [
      (RecoveryState.failedOver, RecoveryAction.changePoint), (.failedOver, .commit),
      (.failedOver, .flatten), (.committed, .flatten),
      (.testActive, .cleanup), (.failoverFailed, .cancel),
    ] {
      let running = try RecoveryStanding(state).after(.asked(action)).standing
      #expect(running.allowed.isEmpty, "\(action)")
      #expect(running.objection(to: .failover)?.reason.contains("runs") == true)
    }
  }

  @Test("of disks that are plain files nothing is copied any more, and all else is as before")
  func flat() {
    for state in [RecoveryState.failedOver, .committed] {
      var standing = RecoveryStanding(state)
      let before = standing.allowed
      standing.isFlat = true
      #expect(before.contains(.flatten) && standing.allowed == before.filter { $0 != .flatten })
      #expect(standing.objection(to: .flatten)?.reason.contains("plain files already") == true)
    }
  }

  @Test("what failed before anything was changed leaves a machine as it was")
  func undone() throws {
    for state in [RecoveryState.protected, .resynchronising, .replicationStopped, .failoverFailed] {
      let running = try RecoveryStanding(state).after(.asked(.failover)).standing
      #expect(try running.after(.failed(.failover, isUndone: true)).standing.state == state)
      #expect(
        try running.after(.failed(.failover, isUndone: false)).standing.state == .failoverFailed)
    }
    let drill = try RecoveryStanding(.protected).after(.asked(.testFailover)).standing
    #expect(try drill.after(.failed(.testFailover, isUndone: true)).standing.state == .protected)
    let left = try drill.after(.failed(.testFailover, isUndone: false)).standing
    #expect(left.state == .testActive && left.allowed.contains(.cleanup))
    #expect(left.testFailoverState == "TestFailoverFailed")
  }

  @Test(
    "disks that a failover left are kept until they are discarded, and stand in the way of a new begin"
  )
  func keptDisks() throws {
    for state in [RecoveryState.failedOver, .committed] {
      let ended = try RecoveryStanding(state).after(.asked(.disable)).standing
        .after(.succeeded(.disable)).standing
      #expect(ended.keepsDisks && ended.allowed == [.discard])
      #expect(ended.objection(to: .enable)?.advice.contains("discard") == true)
      let gone = try ended.after(.asked(.discard)).standing.after(.succeeded(.discard)).standing
      #expect(gone == RecoveryStanding(.unprotected))
    }
  }

  @Test("the names of Azure Site Recovery's API are told")
  func names() throws {
    var standing = RecoveryStanding(.protected)
    #expect((standing.protectionState, standing.testFailoverState) == ("Protected", "None"))
    standing = try standing.after(.asked(.testFailover)).standing
    #expect(standing.testFailoverState == "TestFailoverInitiated")
    standing = try standing.after(.succeeded(.testFailover)).standing
    #expect(standing.testFailoverState == "TestFailoverCompleted")
    let failedOver = RecoveryStanding(.failedOver)
    #expect(
      failedOver.allowed.compactMap(\.restName) == [
        "ChangePit", "Commit", "CompleteMigration", "DisableProtection",
      ])
    #expect(
      try failedOver.after(.asked(.changePoint)).standing.protectionState
        == "ChangeRecoveryPointInitiated")
  }
}
