import Bytes
import Foundation
import Support
import Testing

@testable import Replication

/// Goal: the protocol is what its page says. Method: the page's tables and its example are held against the
/// code.
struct ProtocolPageTests {
  private let page: String

  init() throws {
    let path = URL(filePath: #filePath).deletingLastPathComponent()
      .appending(path: "../../Sources/Replication/Replication.docc/Protocol.md")
    page = try String(contentsOf: path, encoding: .utf8)
  }

  /// The cells of the rows under a heading, without the table's own head.
  private func rows(under heading: String) throws -> [[String]] {
    let start = try #require(page.range(of: "### \(heading)\n")).upperBound
    let section = page[start...].prefix(
      upTo: page[start...].range(of: "\n###")?.lowerBound ?? page.endIndex)
    let lines = section.split(separator: "\n").filter { $0.hasPrefix("|") }.dropFirst(2)
    return lines.map { line in
      line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
    }
  }

  @Test("every message has its row, with its number")
  func messages() throws {
    let listed = try rows(under: "Messages").map { "\($0[0]) \($0[1])" }
    #expect(listed == MessageType.allCases.map { "\($0.rawValue) \($0)" })
  }

  @Test("every reason to refuse has its row, with its number")
  func refusals() throws {
    let listed = try rows(under: "What the service refuses").map { "\($0[0]) \($0[1])" }
    #expect(listed == Refusal.Code.allCases.map { "\($0.rawValue) \($0)" })
  }

  @Test("the limits are those that are kept")
  func limits() throws {
    let expected = [
      Frame.largestLength, Group.recordLimit, BlockQuery.limit, PageQuery.limit,
      ContentDigest.size,
    ]
    #expect(try rows(under: "Limits").map { Int($0[1]) } == expected)
    #expect(ContentDigest.saltSize == ContentDigest.size)
    #expect(page.contains("1,024 bytes each") && Group.overhead == 1024)
  }

  @Test("the example is what both ends write and read")
  func example() throws {
    let dump = try #require(page.components(separatedBy: "```hex\n").last?.split(separator: "```"))
    let bytes = dump[0].split(separator: "\n").flatMap { line in
      line.drop { $0 != ":" }.dropFirst().split(separator: " ").compactMap { UInt8($0, radix: 16) }
    }
    let heartbeat = Heartbeat(clock: Timestamp(seconds: 1_795_170_600))
    let stored = Stored(through: SequenceNumber(rawValue: 7))
    let group = Group(last: SequenceNumber(rawValue: 7), end: .commit, records: [1, 2, 3])
    #expect(
      try bytes == heartbeat.frame().encoded() + stored.frame().encoded()
        + group.frame().encoded())
    var decoder = FrameDecoder()
    let frames = try decoder.decode(bytes)
    try decoder.finish()
    try #require(frames.count == 3)
    #expect(try Heartbeat(frames[0]) == heartbeat)
    #expect(try Stored(frames[1]) == stored)
    #expect(try Group(frames[2]) == group)
  }
}
