internal import FileIO
internal import Glibc

/// The one thread of a `FaultyLink`: moves bytes between pairs of sockets with poll(2).
final class FaultyLinkLoop: Sendable {
  private let listener: Int32
  private let host: String
  private let faults: @Sendable () -> FaultyLink.Faults?
  private let count: @Sendable ((inout FaultyLink.Counts) -> Void) -> Void

  /// Bytes of one direction that are on their way at most.
  private static let capacity = 256 << 10

  init(
    listener: Int32, host: String, faults: @escaping @Sendable () -> FaultyLink.Faults?,
    count: @escaping @Sendable ((inout FaultyLink.Counts) -> Void) -> Void
  ) {
    (self.listener, self.host, self.faults, self.count) = (listener, host, faults, count)
  }

  /// One direction of one connection.
  private struct Pipe {
    let source: Int32
    let sink: Int32
    let direction: FaultyLink.Direction
    /// Bytes on their way, with the moment they may arrive.
    var queue: [(due: Double, bytes: ArraySlice<UInt8>)] = []
    var queued = 0
    var sourceEnded = false
    var sinkEnded = false
    /// The moment the next byte may go when a rate is kept.
    var free = 0.0

    mutating func push(_ bytes: ArraySlice<UInt8>, due: Double) {
      queue.append((due, bytes))
      queued += bytes.count
    }
  }

  private struct Pair {
    var pipes: [Pipe]
    var descriptors: [Int32] { [pipes[0].source, pipes[0].sink] }
    var isOver: Bool { pipes.allSatisfy(\.sinkEnded) }
  }

  static func listen(on place: String) throws -> (descriptor: Int32, port: Int) {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { throw IOError("open", "a socket", code: errno) }
    var (name, size) = (address(place, 0), socklen_t(MemoryLayout<sockaddr_in>.size))
    let isBound = withUnsafeMutablePointer(to: &name) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, $0, size) == 0 && Glibc.listen(descriptor, 256) == 0
          && getsockname(descriptor, $0, &size) == 0
      }
    }
    guard isBound else {
      defer { close(descriptor) }
      throw IOError("listen on", place, code: errno)
    }
    prepare(descriptor)
    return (descriptor, Int(UInt16(bigEndian: name.sin_port)))
  }

  /// Calls never block, and programs the test starts don't inherit the socket.
  private static func prepare(_ descriptor: Int32) {
    _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
    _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
  }

  private static func address(_ host: String, _ port: Int) -> sockaddr_in {
    var name = sockaddr_in()
    name.sin_family = sa_family_t(AF_INET)
    name.sin_port = UInt16(port).bigEndian
    inet_pton(AF_INET, host, &name.sin_addr)
    return name
  }

  func run() {
    var pairs: [Pair] = []
    while let faults = faults(), !faults.isClosed {
      if let ending = faults.ending {
        pairs.forEach { end($0, ending) }
        pairs = []
      }
      count { $0.version = faults.version }
      wait(pairs, faults)
      accept(into: &pairs, faults)
      for index in pairs.indices {
        for side in 0..<2 { move(&pairs[index].pipes[side], faults) }
      }
      for pair in pairs where pair.isOver { end(pair, .cut) }
      pairs.removeAll(where: \.isOver)
      let live = pairs.count
      count { $0.live = live }
    }
    pairs.forEach { end($0, .reset) }
    close(listener)
  }

  /// Waits until a socket can be read, or some milliseconds: time itself may make bytes due.
  private func wait(_ pairs: [Pair], _ faults: FaultyLink.Faults) {
    var polled = [pollfd(fd: listener, events: Int16(POLLIN), revents: 0)]
    var isBusy = false
    for pipe in pairs.flatMap(\.pipes) where !faults.stalled.contains(pipe.direction) {
      isBusy = isBusy || !pipe.queue.isEmpty
      guard !pipe.sourceEnded, pipe.queued < Self.capacity else { continue }
      polled.append(pollfd(fd: pipe.source, events: Int16(POLLIN), revents: 0))
    }
    _ = poll(&polled, nfds_t(polled.count), isBusy ? 1 : 5)
  }

  private func accept(into pairs: inout [Pair], _ faults: FaultyLink.Faults) {
    while true {
      let near = Glibc.accept(listener, nil, nil)
      guard near >= 0 else { return }
      Self.prepare(near)
      let far = faults.isRefusing ? -1 : connect(to: faults.target)
      guard far >= 0 else {
        abort(near)
        continue
      }
      count { $0.connections += 1 }
      pairs.append(
        Pair(pipes: [
          Pipe(source: near, sink: far, direction: .forward),
          Pipe(source: far, sink: near, direction: .backward),
        ]))
    }
  }

  private func connect(to port: Int) -> Int32 {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    var name = Self.address(host, port)
    let isConnected = withUnsafePointer(to: &name) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
      }
    }
    guard isConnected else {
      close(descriptor)
      return -1
    }
    var on: Int32 = 1
    setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, 4)
    Self.prepare(descriptor)
    return descriptor
  }

  private func move(_ pipe: inout Pipe, _ faults: FaultyLink.Faults) {
    guard !faults.stalled.contains(pipe.direction) else { return }
    read(&pipe, faults)
    write(&pipe, faults)
    if pipe.sourceEnded, pipe.queue.isEmpty, !pipe.sinkEnded {
      shutdown(pipe.sink, Int32(SHUT_WR))
      pipe.sinkEnded = true
    }
  }

  private func read(_ pipe: inout Pipe, _ faults: FaultyLink.Faults) {
    var buffer = [UInt8](repeating: 0, count: 65536)
    while !pipe.sourceEnded, pipe.queued < Self.capacity {
      let got = recv(pipe.source, &buffer, buffer.count, 0)
      if got < 0, errno == EAGAIN || errno == EINTR { return }
      guard got > 0 else {
        pipe.sourceEnded = true
        return
      }
      pipe.push(Array(buffer[..<got])[...], due: Self.now + faults.delay)
    }
  }

  private func write(_ pipe: inout Pipe, _ faults: FaultyLink.Faults) {
    let now = Self.now
    while let (due, bytes) = pipe.queue.first, due <= now, pipe.free <= now {
      // A hundredth of a second's worth at a time keeps a narrow link even.
      let most = faults.bytesPerSecond.map { max(1, $0 / 100) } ?? bytes.count
      let sent = bytes.prefix(most).withUnsafeBytes {
        send(pipe.sink, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
      }
      if sent < 0, errno == EAGAIN || errno == EINTR { return }
      guard sent > 0 else {
        // Nobody takes it any more.
        (pipe.sourceEnded, pipe.queue, pipe.queued) = (true, [], 0)
        return
      }
      if let rate = faults.bytesPerSecond {
        pipe.free = max(pipe.free, now - 0.02) + Double(sent) / Double(rate)
      }
      pipe.queued -= sent
      if sent == bytes.count {
        pipe.queue.removeFirst()
      } else {
        pipe.queue[0].bytes.removeFirst(sent)
      }
      let direction = pipe.direction
      count { counts in
        if direction == .forward { counts.forward += sent } else { counts.backward += sent }
      }
    }
  }

  private func end(_ pair: Pair, _ ending: FaultyLink.Ending) {
    for descriptor in pair.descriptors {
      if ending == .reset { abort(descriptor) } else { close(descriptor) }
    }
  }

  /// Closes a socket with a reset instead of an orderly end.
  private func abort(_ descriptor: Int32) {
    var now = linger(l_onoff: 1, l_linger: 0)
    setsockopt(
      descriptor, SOL_SOCKET, SO_LINGER, &now, socklen_t(MemoryLayout<linger>.size))
    close(descriptor)
  }

  /// Seconds of a clock that is never set.
  private static var now: Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }
}
