internal import ArgumentParser
internal import ControlAPI
internal import FileIO
internal import Identity
internal import Operations

/// Whom a machine or a relay becomes known to, and what admits it.
struct EnrolmentOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The service, with the port of its API if that is not \(ListenAddress.usualPort).",
      valueName: "host[:port]"))
  var service: String

  @Option(help: ArgumentHelp("The registration key; others can see it in 'ps'.", valueName: "key"))
  var key: String?

  @Option(
    help: ArgumentHelp("A file that holds the key.", valueName: "file"), completion: .file())
  var keyFile: String?

  func validate() throws {
    guard (key == nil) != (keyFile == nil) else {
      throw ValidationError("Name one of --key and --key-file.")
    }
  }

  /// The service's enrolment, with the key.
  func call() throws -> EnrolmentCall {
    guard let name = ServiceName(service) else {
      throw ValidationError("--service takes HOST or HOST:PORT.")
    }
    return EnrolmentCall(
      host: name.host, port: name.port ?? ListenAddress.usualPort,
      key: try RegistrationKey(text: try keyText()))
  }

  private func keyText() throws(OperationError) -> String {
    if let key { return key }
    guard let keyFile else { return "" }
    do throws(IOError) {
      return String(
        decoding: try FileSystem.system.readFile(keyFile, limit: 4096), as: UTF8.self)
    } catch { throw OperationError(.refused, "The registration key can't be read. \(error)") }
  }
}
