internal import Glibc

/// What a process was given to write to.
public enum StandardStream: Int32, Sendable {
  /// Where output goes.
  case output = 1
  /// Where messages go.
  case error = 2

  /// Writes all of `text` (write(2)); a terminal shows it at once.
  public func write(_ text: String) throws(IOError) { try write(Array(text.utf8)[...]) }

  /// Writes all of `bytes`.
  func write(_ bytes: ArraySlice<UInt8>) throws(IOError) {
    var done = 0
    while done < bytes.count {
      let count = bytes.withUnsafeBytes {
        Glibc.write(rawValue, $0.baseAddress.map { $0 + done }, bytes.count - done)
      }
      if count < 0 {
        if errno == EINTR { continue }
        throw IOError(
          "write to", self == .output ? "standard output" : "standard error", code: errno)
      }
      done += count
    }
  }

  /// Whether it is a terminal, so that a person may be watching (isatty(3)).
  public var isTerminal: Bool { isatty(rawValue) == 1 }

  /// The characters that fit on a line of the terminal; nil if that is not known (ioctl_tty(2)).
  public var columns: Int? {
    var size = winsize()
    guard ioctl(rawValue, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return nil }
    return Int(size.ws_col)
  }
}
