public import Identity
internal import NIOCore
public import Replication

/// A live connection with a peer whose certificate was found good. Safe from any thread.
public final class Connection: Sendable {
  /// Who the peer is.
  public let peer: PeerIdentity
  /// The peer's address.
  public let address: String
  let channel: any Channel
  private let unsentLimit: Int
  private let rate: RateLimit?
  private let outbound = Monitor(Outbound())

  private struct Outbound: Sendable {
    /// Bytes handed to the event loop and not yet to the kernel.
    var unsent = 0
    /// Whether a thread is in the middle of a frame.
    var isSending = false
    /// Why nothing can be sent any more.
    var failure: TransportError?
    /// Whether this end ended the connection.
    var isEndedHere = false
    /// What is done to each frame when its turn has come.
    var sealing: (@Sendable (Frame) -> Frame)?
  }

  /// Bytes of a frame that are handed over at once while a rate is kept.
  private static let slice = 65536

  init(
    _ channel: any Channel, peer: PeerIdentity, address: String, unsentLimit: Int,
    rate: RateLimit?
  ) {
    (self.channel, self.peer, self.address) = (channel, peer, address)
    (self.unsentLimit, self.rate) = (unsentLimit, rate)
  }

  /// Whether a frame can be handed over without waiting: the peer takes what it is sent.
  public var isWritable: Bool {
    outbound.withLock { $0.failure == nil && !$0.isSending && $0.unsent < unsentLimit }
  }

  /// Bytes that were handed over and have not left this process yet.
  public var unsentBytes: Int { outbound.withLock { $0.unsent } }

  /// Hands a frame over, in the order of calls. Blocks while too much waits to be sent or the rate is
  /// used up; never call it from an event loop.
  ///
  /// That it returns says nothing of the peer: what matters is answered by the layer above.
  /// - Throws: `.timedOut` if there is no room within `duration`. If a part of the frame was sent by
  ///   then the connection is ended. Else why the connection has ended.
  public func send(_ frame: Frame, within duration: Duration) throws(TransportError) {
    let deadline = ContinuousClock.now + .seconds(duration.seconds)
    try take(until: deadline)
    defer { outbound.change { $0.isSending = false } }
    let seal = outbound.withLock { $0.sealing }
    let frame = seal?(frame) ?? frame
    let header: [UInt8]
    do throws(FrameError) { header = try frame.header() } catch {
      throw TransportError(.malformed, "A frame can't be sent: \(error).")
    }
    let size = rate?.bytesPerSecond == nil ? frame.encodedSize : Self.slice
    var place = 0
    repeat {
      let end = min(frame.payload.count, place + size)
      do throws(TransportError) {
        try waitForRoom(until: deadline)
        try waitForRate(end - place, until: deadline)
      } catch {
        if place > 0 { self.end(error) }
        throw error
      }
      write(place == 0 ? header : [], frame.payload[place..<end])
      place = end
    } while place < frame.payload.count
  }

  /// Has every frame that is sent from now on go through `sealing`, one after another, in the order in
  /// which they are sent. A frame that could not be sent after that ends what is sealed: the connection
  /// is of no more use then.
  func seal(_ sealing: @escaping @Sendable (Frame) -> Frame) {
    outbound.withLock { $0.sealing = sealing }
  }

  /// Blocks until all that was handed over has left this process.
  ///
  /// - Throws: `.timedOut`, or why the connection has ended.
  public func flush(within duration: Duration) throws(TransportError) {
    try wait(until: .now + .seconds(duration.seconds)) { $0.unsent == 0 }
  }

  /// Ends the connection once what was handed over is sent, or in two seconds. Returns at once.
  public func close() { end(nil) }

  /// Ends the connection for a reason that both sides of this end shall hear of.
  func end(_ reason: TransportError?) {
    outbound.change { state in
      guard state.failure == nil else { return }
      state.isEndedHere = true
      state.failure =
        reason ?? TransportError(.cancelled, "The connection with \(address) was closed here.")
    }
    channel.close(promise: nil)
  }

  /// Notes that the connection is gone, and gives the reason that counts: the first one; nil if one of
  /// both ends just closed it.
  func ended(_ error: TransportError?) -> TransportError? {
    outbound.change { state in
      if let failure = state.failure { return failure.code == .cancelled ? nil : failure }
      state.failure =
        error ?? TransportError(.closed, "The peer at \(address) closed the connection.")
      return error
    }
  }

  /// Whether this end ended it, so that what the other end says to that is no error.
  var isEndedHere: Bool { outbound.withLock { $0.isEndedHere } }

  private func take(until deadline: ContinuousClock.Instant) throws(TransportError) {
    try wait(until: deadline) { state in
      guard !state.isSending else { return false }
      state.isSending = true
      return true
    }
  }

  private func waitForRoom(until deadline: ContinuousClock.Instant) throws(TransportError) {
    try wait(until: deadline) { $0.unsent < self.unsentLimit }
  }

  private func waitForRate(
    _ count: Int, until deadline: ContinuousClock.Instant
  ) throws(TransportError) {
    while let pause = rate?.take(count) {
      guard .now < deadline else { throw timedOut }
      // In short naps, so that a change of the rate is felt at once.
      let nap = min(deadline, .now + min(pause, .milliseconds(50)))
      let failure = outbound.wait(until: nap) { $0.failure }
      if let failure { throw failure }
    }
  }

  private func wait(
    until deadline: ContinuousClock.Instant, for condition: (inout Outbound) -> Bool
  ) throws(TransportError) {
    let result = outbound.wait(until: deadline) { state -> Result<Void, TransportError>? in
      if let failure = state.failure { return .failure(failure) }
      return condition(&state) ? .success(()) : nil
    }
    guard let result else { throw timedOut }
    try result.get()
  }

  private var timedOut: TransportError {
    TransportError(
      .timedOut, "The peer at \(address) takes nothing more: \(unsentBytes) bytes wait for it.")
  }

  /// Hands bytes over as they are; tests send with it what is no frame.
  func write(_ header: [UInt8], _ payload: ArraySlice<UInt8>) {
    let count = header.count + payload.count
    var buffer = channel.allocator.buffer(capacity: count)
    buffer.writeBytes(header)
    buffer.writeBytes(payload)
    outbound.withLock { $0.unsent += count }
    channel.writeAndFlush(buffer).whenComplete { [outbound] _ in
      // A failed write is told by the channel's end.
      outbound.change { $0.unsent -= count }
    }
  }
}
