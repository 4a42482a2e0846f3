internal import Bytes
internal import FileIO
internal import FoundationEssentials

/// What an agent's directory says of its machine's epoch: `epoch.json`.
///
/// The epoch is durable before anything of it is sent. Once the service has refused the agent because the
/// machine has failed over, that is durable before anything else is done about it; that the fence hook is run
/// is, before it is: a crash leaves a hook that is not run again, rather than one that powers a machine off at
/// each start. One that has failed is run again at the next refusal. Where nothing can be noted, as on a full
/// disk, the hook is run all the same, once by each process: a source must not go on beside the machine that has
/// its place. Enrolling anew removes the file last: after a crash the agent stays fenced, and enrols again.
struct EpochNote: Codable, Hashable {
  /// The machine.
  var machine: String
  /// The epoch that the service told last; nil if it told none.
  var epoch: UInt32?
  /// When and why the service refused the machine for good; nil if it did not.
  var fenced: AgentCondition.Failure?
  /// When the fence hook was run, and how that went.
  var hook: AgentCondition.Failure?
  /// Whether that hook has ended without doing what it should.
  var hasHookFailed: Bool?
}

extension AgentDirectory {
  private var epochPath: String { path + "/epoch.json" }
  private static let epochLimit = 1 << 16

  /// What is known of the epoch; nothing if the file is not there, or is that of another machine.
  ///
  /// - Throws: `.damaged`, `.state`: an agent that may be fenced does not go on as if it was not.
  func epochNote(of machine: Identifier) throws(AgentError) -> EpochNote {
    let bytes: [UInt8]
    do throws(IOError) {
      bytes = try system.readFile(epochPath, limit: Self.epochLimit)
    } catch {
      guard error.isMissing else { throw AgentError(.state, error.description) }
      return EpochNote(machine: machine.description)
    }
    guard let note = try? JSONDecoder().decode(EpochNote.self, from: Data(bytes)) else {
      throw AgentError(
        .damaged,
        "'\(epochPath)' is not what an agent wrote there, so it is not known whether this machine has "
          + "failed over. If it has not, remove the file.")
    }
    return note.machine == machine.description ? note : EpochNote(machine: machine.description)
  }

  /// Durable when it returns.
  func save(_ note: EpochNote) throws(AgentError) {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    let bytes = (try? encoder.encode(note)).map { Array($0) } ?? []
    do throws(IOError) {
      try system.replaceFile(epochPath, with: bytes, permissions: 0o600)
    } catch { throw AgentError(.state, error.description) }
  }

  /// Forgets the epoch and that the machine was fenced, for it has enrolled anew. Durable when it returns.
  public func forgetEpoch() throws(AgentError) {
    do throws(IOError) {
      do throws(IOError) { try system.remove(epochPath) } catch {
        guard error.isMissing else { throw error }
      }
      try system.syncDirectory(path)
    } catch { throw AgentError(.state, error.description) }
  }
}
