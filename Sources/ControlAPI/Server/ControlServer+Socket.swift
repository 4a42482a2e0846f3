internal import FileIO
internal import Operations

extension ControlServer {
  /// Makes the directory that keeps strangers away from the socket from its first moment on: a socket
  /// gets its own permissions only after it was made.
  func prepareSocket(_ path: String, group: UInt32?) throws(OperationError) {
    guard path.utf8.count <= ListenAddress.socketPathLimit else {
      throw OperationError(
        .refused,
        "The socket's path '\(path)' is longer than \(ListenAddress.socketPathLimit) bytes. Choose "
          + "another with --socket.")
    }
    // Listening takes the place of a socket that is there; one that answers is another service's.
    guard try !NetworkTransport(to: .socket(path)).isReachable() else {
      throw OperationError(
        .refused, "A service listens on '\(path)' already. Choose another with --socket.")
    }
    let directory = FileSystem.parent(of: path)
    let system = FileSystem.system
    try inSystem { () throws(IOError) in
      guard !system.exists(directory) else { return }
      try system.makeDirectory(directory, permissions: group == nil ? 0o700 : 0o750)
      if let group { try system.setGroup(directory, group) }
    }
  }

  /// Lets the group in, or nobody but the owner.
  func openSocket(_ path: String, group: UInt32?) throws(OperationError) {
    try inSystem { () throws(IOError) in
      if let group { try FileSystem.system.setGroup(path, group) }
      let permissions: UInt32 = group == nil ? 0o600 : 0o660
      try FileSystem.system.setPermissions(path, directory: 0o700, file: permissions)
    }
  }

  private func inSystem(_ body: () throws(IOError) -> Void) throws(OperationError) {
    do { try body() } catch {
      throw OperationError(error.isRefused ? .unwritable : .failed, error.description)
    }
  }
}
