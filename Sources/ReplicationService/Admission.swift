internal import NIOCore
internal import Synchronization

/// Connections that were not let in, or that broke off before they were: several, put together.
public struct RefusalReport: Sendable {
  /// How many since the last report.
  public let count: Int
  /// The address of the last one.
  public let address: String
  /// Why the last one was refused.
  public let reason: String
}

/// Counts the connections of a listener, in all and by address, and reports those turned away: the
/// first at once, those after it together, once in each interval.
final class Admission: Sendable {
  private struct State {
    var total = 0
    var byAddress: [String: Int] = [:]
    var refused = 0
    var last: (address: String, reason: String) = ("", "")
    /// Whether a report is due at the end of the interval.
    var isTiming = false
  }

  private let state = Mutex(State())
  private let settings: ListenerSettings
  private let eventLoop: any EventLoop
  private let report: @Sendable (RefusalReport) -> Void

  init(
    _ settings: ListenerSettings, _ eventLoop: any EventLoop,
    report: @escaping @Sendable (RefusalReport) -> Void
  ) {
    (self.settings, self.eventLoop, self.report) = (settings, eventLoop, report)
  }

  /// Connections now, those still in their handshake included.
  var count: Int { state.withLock { $0.total } }

  /// Counts a connection in; false, and refused, if there are too many.
  func enter(_ address: String) -> Bool {
    let objection = state.withLock { state -> String? in
      let own = state.byAddress[address, default: 0]
      if state.total >= settings.maximumConnections { return "\(state.total) connections in all" }
      if own >= settings.maximumPerAddress { return "\(own) connections from its address" }
      state.total += 1
      state.byAddress[address] = own + 1
      return nil
    }
    guard let objection else { return true }
    refuse(address, "There are \(objection) already.")
    return false
  }

  /// Counts a connection out.
  func leave(_ address: String) {
    state.withLock { state in
      state.total -= 1
      let own = state.byAddress[address, default: 1] - 1
      state.byAddress[address] = own > 0 ? own : nil
    }
  }

  /// Notes a connection that was turned away.
  func refuse(_ address: String, _ reason: String) {
    let isFirst = state.withLock { state in
      state.refused += 1
      state.last = (address, reason)
      defer { state.isTiming = true }
      return !state.isTiming
    }
    if isFirst { tell() }
  }

  private func tell() {
    let told = state.withLock { state -> RefusalReport? in
      guard state.refused > 0 else {
        state.isTiming = false
        return nil
      }
      defer { state.refused = 0 }
      return RefusalReport(
        count: state.refused, address: state.last.address, reason: state.last.reason)
    }
    guard let told else { return }
    report(told)
    eventLoop.scheduleTask(in: .nanoseconds(Int64(settings.reportInterval.seconds * 1e9))) {
      self.tell()
    }
  }
}
