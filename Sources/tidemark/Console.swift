internal import FileIO
internal import Glibc
internal import Synchronization

/// The terminal: output goes to standard output, all else to standard error.
enum Console {
  private static let showsProgress = Mutex(false)

  /// Prints output, with a line's end. Where it can't be written the process ends: what was asked
  /// for did not reach the caller, who must not take that for success.
  static func out(_ text: String) {
    do throws(IOError) { try StandardStream.output.write(text + "\n") } catch {
      note("tidemark: \(error.description)")
      exit(ExitStatus.failed.rawValue)
    }
  }

  /// Prints a message for a person.
  static func note(_ text: String) {
    endProgress()
    show(text + "\n")
  }

  /// Whether somebody may be watching progress.
  static var isWatched: Bool { StandardStream.error.isTerminal }

  /// Whether somebody can answer a question.
  static var canAsk: Bool { isatty(STDIN_FILENO) == 1 && isWatched }

  /// Asks for a line; nil if none came.
  static func ask(_ question: String) -> String? {
    show(question + " ")
    return readLine()
  }

  /// Shows a line in the place of the last one; on a terminal only.
  static func progress(_ line: String) {
    guard isWatched else { return }
    showsProgress.withLock { $0 = true }
    show("\r\u{1B}[K" + String(line.prefix((StandardStream.error.columns ?? 80) - 1)))
  }

  /// Takes the line of progress away.
  static func endProgress() {
    let shown = showsProgress.withLock { shown in
      defer { shown = false }
      return shown
    }
    if shown { show("\r\u{1B}[K") }
  }

  /// Where a message can't be written, nobody is there to read it.
  private static func show(_ text: String) { try? StandardStream.error.write(text) }
}
