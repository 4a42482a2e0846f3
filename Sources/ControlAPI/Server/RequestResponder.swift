internal import FileIO
internal import Glibc
internal import HTTPTypes
internal import HummingbirdCore
internal import Logging
internal import NIOCore
internal import NIOPosix

/// Turns a request on a connection into a request of the API, and its answer back.
struct RequestResponder: Sendable {
  let control: Control
  let limits: ServerLimits
  let workers: NIOThreadPool
  let isTrusted: Bool
  let logger: Logger

  /// What ends a connection whose rest is of no use.
  private struct Unusable: Error {}

  func respond(
    to request: Request, _ writer: consuming ResponseWriter, _ channel: any Channel
  ) async throws {
    let (response, isWhole) = await answer(request, channel)
    var fields = HTTPFields()
    fields[.contentType] = "application/json"
    fields[.contentLength] = String(response.body.count)
    fields[.cacheControl] = "no-store"
    if response.status == 401 { fields[.wwwAuthenticate] = "Bearer" }
    if !isWhole { fields[.connection] = "close" }
    let head = HTTPResponse(
      status: HTTPResponse.Status(code: response.status), headerFields: fields)
    let limit = limited(channel)
    defer { limit.cancel() }
    // What is read behind the answer to HEAD is taken for the next answer.
    let body = request.head.method == .head ? [] : response.body
    try await writer.write(
      response: head, body: ResponseBody(byteBuffer: ByteBuffer(bytes: body)))
    // What is left of a request that was not read to its end can't be told from the next one.
    if !isWhole { throw Unusable() }
  }

  /// The answer, and whether the request was read to its end.
  private func answer(_ request: Request, _ channel: any Channel) async -> (ControlResponse, Bool) {
    let body: ByteBuffer
    do {
      let limit = limited(channel)
      defer { limit.cancel() }
      body = try await request.body.collect(upTo: limits.body)
    } catch is NIOTooManyBytesError {
      let error = RequestError(.tooLarge, "The body is longer than \(limits.body) bytes.")
      return (Control.failure(error), false)
    } catch {
      return (Control.failure(RequestError(.timedOut, "The body did not come in time.")), false)
    }
    let caller = isTrusted ? await peer(channel) : .bearer(bearer(request))
    let asked = ControlRequest(
      method: request.head.method.rawValue, target: request.head.path ?? "",
      body: Array(buffer: body), caller: caller)
    let (control, logger) = (control, logger)
    let response = try? await workers.runIfActive {
      let response = control.answer(asked)
      Self.log(asked, response, logger)
      return response
    }
    guard let response else {
      let error = RequestError(.timedOut, "The service is ending.")
      return (Control.failure(error), false)
    }
    return (response, true)
  }

  private static func log(_ request: ControlRequest, _ response: ControlResponse, _ logger: Logger)
  {
    let isRefused = response.status == 401 || response.status == 403
    logger.log(
      level: isRefused ? .notice : response.status >= 500 ? .warning : .debug, "Request",
      metadata: [
        "method": "\(request.method)", "path": "\(request.target.prefix(256))",
        "status": "\(response.status)",
      ])
  }

  /// The user at the other end of a socket of this host (unix(7), SO_PEERCRED).
  private func peer(_ channel: any Channel) async -> ControlRequest.Caller {
    guard let socket = channel as? any SocketOptionProvider else { return .trusted }
    let credentials: EventLoopFuture<PeerCredentials> = socket.unsafeGetSocketOption(
      level: .socket, name: NIOBSDSocket.Option(rawValue: SO_PEERCRED))
    guard let user = try? await credentials.get().user else { return .trusted }
    return .user(FileSystem.userName(user))
  }

  private func bearer(_ request: Request) -> String? {
    guard let field = request.headers[.authorization], field.count > 7,
      field.prefix(7).lowercased() == "bearer "
    else { return nil }
    return String(field.dropFirst(7))
  }

  /// Closes the connection unless it is called off in time: a peer that sends or takes a byte now and
  /// then has no more time than any other.
  private func limited(_ channel: any Channel) -> Scheduled<Void> {
    channel.eventLoop.scheduleTask(in: .seconds(limits.transferSeconds)) {
      channel.close(promise: nil)
    }
  }
}

/// `struct ucred` of unix(7), which Swift does not see.
private struct PeerCredentials: Sendable {
  var process: Int32
  var user: UInt32
  var group: UInt32
}
