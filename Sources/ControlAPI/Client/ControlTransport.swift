internal import FileIO
public import Operations

/// A way to the API: over a network, or straight to it.
public protocol ControlTransport: Sendable {
  /// Brings a request there and its answer back. Blocks, for a limited time.
  ///
  /// The method is `GET`, `POST` or `DELETE`; the target a path and query, percent-encoded; the body
  /// a JSON document, where the path takes one. Where no answer came that is an error.
  func send(
    _ method: String, _ target: String, _ body: [UInt8]
  ) throws(OperationError) -> ControlResponse
}

/// The API of this process itself.
public struct DirectTransport: ControlTransport {
  private let control: Control

  /// A way to `control`, with no network between.
  public init(_ control: Control) { self.control = control }

  /// Brings a request there and its answer back.
  public func send(
    _ method: String, _ target: String, _ body: [UInt8]
  ) throws(OperationError) -> ControlResponse {
    control.answer(
      ControlRequest(
        method: method, target: target, body: body,
        caller: .user(FileSystem.userName(FileSystem.userIdentifier))))
  }
}
