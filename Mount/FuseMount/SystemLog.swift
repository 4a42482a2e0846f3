internal import CFuse

/// Writes a message to the system's log (syslog(3)), for a mount in the background, whose standard
/// error nobody reads.
public func logToSystem(_ message: String) { tidemark_log_error(message) }
