internal import FileIO

/// An open file of a log that several readers share.
final class LogFile: Sendable {
  let file: File

  init(_ file: consuming File) { self.file = file }
}

/// The open files of one machine's log, opened when first needed, at most so many at once.
final class LogFiles: Sendable {
  private struct State {
    var open: [LogFileName: LogFile] = [:]
    /// In the order of opening, the oldest first.
    var order: [LogFileName] = []
  }

  let directory: String
  let system: FileSystem
  private let limit: Int
  private let state = Shared(State())

  init(directory: String, system: FileSystem, limit: Int = 192) {
    (self.directory, self.system, self.limit) = (directory, system, limit)
  }

  func path(_ name: LogFileName) -> String { directory + "/" + name.description }

  /// The file, opened for reading. A reader may go on using it after it was closed here.
  func open(_ name: LogFileName) throws(VaultError) -> LogFile {
    if let file = state.read({ $0.pointee.open[name] }) { return file }
    let path = path(name)
    let file: LogFile
    do throws(IOError) {
      file = LogFile(try File(path, .reading, on: system))
    } catch {
      guard error.isMissing else { throw VaultError(error) }
      throw VaultError(
        .damaged, "File '\(path)' is missing from the vault. Run 'tidemark verify'.", cause: error)
    }
    return state.change { state in
      if let other = state.open[name] { return other }
      if state.order.count >= limit { state.open[state.order.removeFirst()] = nil }
      state.open[name] = file
      state.order.append(name)
      return file
    }
  }

  /// Lets go of a file, so that the next use opens it anew.
  func forget(_ name: LogFileName) {
    state.change { state in
      state.open[name] = nil
      state.order.removeAll { $0 == name }
    }
  }
}
