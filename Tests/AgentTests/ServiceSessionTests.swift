import Bytes
import Codecs
import FileIO
import Glibc
import Replication
import ReplicationService
import Support
import Synchronization
import Testing
import Vault

@testable import Agent

/// Goal: an agent that waits for the service says that it is alive, and does not wait for one that is not.
/// Method: a link that answers when the test says so.
@Suite struct ServiceSessionTests {
  /// A service that answers signs of life, and says that a group is stored only after so many of them.
  private final class SlowService: FrameLink {
    private struct State: Sendable {
      var answers: [Frame] = []
      var heartbeats = 0
      var last = SequenceNumber.zero
    }

    private let state = Mutex(State())
    private let isSilent: Bool
    private let beatsNeeded: Int

    init(isSilent: Bool = false, answersAfter beats: Int) {
      (self.isSilent, beatsNeeded) = (isSilent, beats)
    }

    var heartbeats: Int { state.withLock { $0.heartbeats } }

    private static let welcome = Welcome(
      version: ProtocolVersion.newest, release: "test", clock: .now(), vault: .random(),
      machine: .random(), codec: .none, epoch: 0, position: .start, cycle: nil,
      hasUnmarkedWrites: false, hasCursor: false, disks: [], window: 1 << 20,
      assignment: Assignment(state: .protected, disks: [0]))

    func send(_ frame: Frame, within duration: Duration) throws(TransportError) {
      state.withLock { state in
        switch MessageType(rawValue: frame.type) {
        case .hello: state.answers.append(Self.welcome.frame())
        case .group: state.last = (try? Group(frame))?.last ?? .zero
        case .heartbeat:
          state.heartbeats += 1
          guard !isSilent else { return }
          state.answers.append(Heartbeat(clock: .now()).frame())
          if state.heartbeats == beatsNeeded {
            state.answers.append(Stored(through: state.last).frame())
          }
        default: break
        }
      }
    }

    func receive(within duration: Duration) throws(TransportError) -> Frame {
      let deadline = ContinuousClock.now + duration
      repeat {
        let frame = state.withLock { $0.answers.isEmpty ? nil : $0.answers.removeFirst() }
        if let frame { return frame }
        usleep(1000)
      } while ContinuousClock.now < deadline
      throw TransportError(.timedOut, "Nothing came.")
    }
  }

  private static func session(_ link: SlowService) throws -> ServiceSession {
    try ServiceSession(
      link,
      hello: Hello(
        release: "test", hostName: "web01", system: "Linux", addresses: [], clock: .now(),
        held: .zero, disks: []),
      sign: { _ in [1] }, heartbeat: .milliseconds(40), patience: .milliseconds(300))
  }

  @Test("it waits for a slow service as long as that lives, and says that it lives too")
  func slow() throws {
    let link = SlowService(answersAfter: 15)
    let session = try Self.session(link)
    let number = SequenceNumber(rawValue: 1)
    let start = ContinuousClock.now
    try session.send(Group(last: number, end: .commit, records: [1]))
    #expect(try session.wait(for: number) == nil)
    #expect(ContinuousClock.now - start > .milliseconds(400) && link.heartbeats >= 15)
  }

  @Test("it gives up a service from which nothing comes, and had said that it was alive")
  func silent() throws {
    let link = SlowService(isSilent: true, answersAfter: 0)
    let session = try Self.session(link)
    let number = SequenceNumber(rawValue: 1)
    try session.send(Group(last: number, end: .commit, records: [1]))
    let start = ContinuousClock.now
    #expect { try session.wait(for: number) } throws: { ($0 as? AgentError)?.code == .link }
    #expect(ContinuousClock.now - start < .seconds(3) && link.heartbeats >= 3)
    #expect(session.failure?.code == .link)
  }
}
