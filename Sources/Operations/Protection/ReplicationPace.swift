/// How often a machine may be replicated: the same for enabling it and for changing it later.
enum ReplicationPace {
  /// - Throws: `.refused` unless a cycle can be made every so many seconds.
  static func checkCycle(seconds: Int) throws(OperationError) {
    guard (10...86400).contains(seconds) else {
      throw OperationError(.refused, "A cycle is made every 10 seconds to every day.")
    }
  }

  /// - Throws: `.refused` unless app-consistent points can be made every so many seconds.
  static func checkApplication(seconds: Int) throws(OperationError) {
    guard (0...86400).contains(seconds) else {
      throw OperationError(
        .refused, "An app-consistent point is made every second to every day, or never: 0.")
    }
  }

  /// - Throws: `.refused` unless the age of the newest point can be warned of from so many seconds on.
  static func checkThreshold(seconds: Int) throws(OperationError) {
    guard (60...7 * 86400).contains(seconds) else {
      throw OperationError(.refused, "An RPO threshold is a minute to a week.")
    }
  }
}
