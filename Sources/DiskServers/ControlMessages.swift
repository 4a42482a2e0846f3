internal import FoundationEssentials

/// What a disk server can be asked for. One JSON object on a line each way; seconds bound what waits.
public enum DiskRequest: Codable, Hashable, Sendable {
  /// How it is.
  case status
  /// To make all writes durable.
  case flush
  /// To wait until nobody has the disks open, make everything durable, and refuse writes from then on.
  case freeze(seconds: Double)
  /// To let the disks be written to again.
  case thaw
  /// To copy the disks to plain files while they are used; nothing happens if that runs, or was done.
  case flatten
  /// To give that up; nothing happens if it does not run, or was done.
  case cancelFlatten
  /// To take the mount away and end: once nobody has the disks open, or at once.
  case quit(seconds: Double, force: Bool)
  /// To hand over to a successor, which runs the program that lies at this one's path now. Whoever uses the
  /// disks waits meanwhile.
  case handOver
}

/// What a disk server answers.
enum DiskAnswer: Codable, Sendable {
  case status(DiskServerStatus)
  case done
  case failed(code: DiskServerError.Code, message: String)
}

/// How a disk server is.
public struct DiskServerStatus: Codable, Hashable, Sendable {
  /// One of its files.
  public struct File: Codable, Hashable, Sendable {
    /// Its name, such as `disk0.part1.raw`.
    public var name: String
    /// How many have it open for reading.
    public var readers: Int
    /// How many have it open for writing too.
    public var writers: Int

    /// A file with so many users.
    public init(name: String, readers: Int, writers: Int) {
      (self.name, self.readers, self.writers) = (name, readers, writers)
    }
  }

  /// How far the copy of the disks to plain files is.
  public struct Copy: Codable, Hashable, Sendable {
    /// What a copy does.
    public enum State: String, Codable, Sendable {
      /// None was asked for.
      case idle
      /// It runs.
      case running
      /// It ended by itself, and nothing is left of it.
      case failed
      /// The disks are plain files.
      case done
    }

    /// What it does.
    public var state: State
    /// Bytes of the disks that were gone through, and all of them, while it runs.
    public var doneBytes: UInt64?
    /// Bytes of all disks, while it runs.
    public var totalBytes: UInt64?
    /// Why it ended.
    public var failure: String?

    /// A copy of these facts.
    public init(
      _ state: State, doneBytes: UInt64? = nil, totalBytes: UInt64? = nil, failure: String? = nil
    ) {
      (self.state, self.failure) = (state, failure)
      (self.doneBytes, self.totalBytes) = (doneBytes, totalBytes)
    }
  }

  /// The server's process.
  public var server: Int32
  /// The process that keeps the connection to the kernel.
  public var holder: Int32?
  /// The release of the program.
  public var version: String
  /// How often a server was started for this mount, the first time included.
  public var starts: Int
  /// Every disk and partition.
  public var files: [File]
  /// Whether writes are refused.
  public var isFrozen: Bool
  /// How far the copy to plain files is; nil if the disks can't be copied so.
  public var copy: Copy?
  /// Bytes that this branch takes.
  public var usedBytes: UInt64?
  /// Bytes that it may take; nil for any number.
  public var budgetBytes: UInt64?
  /// What an operator should know of: a budget nearly used up, memory that could not be locked.
  public var warnings: [String]
  /// The error met last, such as damage.
  public var fault: String?
  /// Seconds that the oldest of the requests that are worked on has been; nil if none is.
  public var oldestSeconds: Double?

  /// Whether anybody has a disk open.
  public var isInUse: Bool { files.contains { $0.readers + $0.writers > 0 } }

  /// A server with these facts.
  public init(
    server: Int32, holder: Int32?, version: String, starts: Int, files: [File], isFrozen: Bool,
    usedBytes: UInt64? = nil, budgetBytes: UInt64? = nil, warnings: [String] = [],
    fault: String? = nil, oldestSeconds: Double? = nil
  ) {
    (self.server, self.holder, self.version) = (server, holder, version)
    (self.starts, self.files, self.isFrozen) = (starts, files, isFrozen)
    (self.usedBytes, self.budgetBytes) = (usedBytes, budgetBytes)
    (self.warnings, self.fault, self.oldestSeconds) = (warnings, fault, oldestSeconds)
  }
}

/// Messages as lines of JSON.
enum ControlText {
  /// Bytes of the longest message.
  static let limit = 1 << 20

  static func line(_ message: some Encodable) throws(DiskServerError) -> [UInt8] {
    do { return [UInt8](try JSONEncoder().encode(message)) + [UInt8(ascii: "\n")] } catch {
      throw DiskServerError(.failed, "A message to a disk server can't be written: \(error)")
    }
  }

  static func read<Message: Decodable>(
    _ type: Message.Type, _ line: [UInt8]
  ) throws(DiskServerError) -> Message {
    do { return try JSONDecoder().decode(type, from: Data(line)) } catch {
      throw DiskServerError(
        .failed, "A disk server's message can't be read: it may be of another release.")
    }
  }
}
