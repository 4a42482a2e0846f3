import Bytes
import FileIO
import Foundation
import Logging
import Operations
import Support
import Testing

@testable import tidemark

/// Goal: every outcome ends in its documented status.
@Suite struct ExitStatusTests {
  @Test("each outcome of an operation has its status")
  func outcomes() {
    let expected: [OperationError.Code: Int32] = [
      .failed: 1, .incomplete: 3, .noVault: 10, .locked: 11, .damaged: 12, .unknown: 13,
      .refused: 14, .source: 15, .unwritable: 16, .cancelled: 130,
    ]
    for code in OperationError.Code.allCases {
      #expect(ExitStatus(code).rawValue == expected[code], "\(code)")
      let failure = Failure(OperationError(code, "what and why"))
      #expect(failure.outcome?.status.rawValue == expected[code])
      #expect(failure.outcome?.message == "what and why")
    }
  }

  @Test("the table in the help names every status once")
  func table() {
    let lines = ExitStatus.table(ExitStatus.allCases).split(separator: "\n")
    #expect(lines.count == ExitStatus.allCases.count)
    let numbers = lines.compactMap { Int32($0.split(separator: " ")[0]) }
    #expect(numbers == ExitStatus.allCases.map(\.rawValue))
  }
}

/// Goal: what the pages promise is what there is.
@Suite struct PagesTests {
  /// A page of the command's catalog.
  static func page(_ name: String) throws -> String {
    let root = URL(filePath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent()
    let path = root.appending(path: "Sources/tidemark/tidemark.docc/\(name).md").path
    return String(decoding: try FileSystem.system.readFile(path, limit: 1 << 20), as: UTF8.self)
  }

  @Test("the page's table of exit statuses is the help's")
  func statuses() throws {
    let page = try Self.page("tidemark")
    for status in ExitStatus.allCases {
      #expect(page.contains("| \(status.rawValue) | \(status.meaning) |"))
    }
  }
}

/// Goal: what a service is set to is written as the page says.
@Suite struct ServiceSettingTests {
  @Test("the page lists every setting with its variable and option")
  func page() throws {
    let page = try PagesTests.page("tidemark")
    for setting in ServiceSetting.allCases {
      #expect(page.contains("| \(setting.rawValue) | \(setting.variable) | \(setting.option) |"))
    }
  }

  @Test("a line of the log stays one line, whatever it tells of")
  func logLines() throws {
    let fields: Logger.Metadata = ["path": "a b\nc", "quote": "say \"x\"", "plain": "x"]
    let time = Timestamp(seconds: 0)
    let text = ServiceLog.line(.notice, "two\nlines", fields, time, .text)
    #expect(
      text == #"notice two lines path="a b c" plain=x quote="say \"x\"""#, "\(text)")
    let json = ServiceLog.line(.error, "two\nlines", fields, time, .json)
    #expect(!json.contains("\n"))
    let object = try JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String: Any]
    #expect(object?["message"] as? String == "two\nlines")
  }
}

/// Goal: quantities read well.
@Suite struct WordsTests {
  @Test("sizes have a unit and at most one decimal")
  func sizes() {
    let cases: [(UInt64, String)] = [
      (0, "0 B"), (512, "512 B"), (1023, "1023 B"), (1024, "1 KiB"), (1536, "1.5 KiB"),
      (10 << 20, "10 MiB"), (1 << 30, "1 GiB"), (127 << 30, "127 GiB"), (2040 << 30, "2 TiB"),
      (2_190_433_321_472, "2 TiB"), (UInt64.max, "16 EiB"), (123_456_789, "118 MiB"),
    ]
    for (bytes, text) in cases { #expect(Words.size(bytes) == text) }
  }

  @Test("lengths of time have two units at most")
  func times() {
    let cases: [(Int64, String)] = [
      (-5, "0 s"), (0, "0 s"), (59, "59 s"), (60, "1 min"), (200, "3 min 20 s"), (3600, "1 h"),
      (86400 * 2 + 3600 * 4 + 59, "2 d 4 h"),
    ]
    for (seconds, text) in cases { #expect(Words.time(seconds: seconds) == text) }
    #expect(Words.time(.milliseconds(1234)) == "1.23 s")
    #expect(Words.time(.milliseconds(30)) == "0.03 s")
    #expect(Words.time(.seconds(75)) == "1 min 15 s")
  }

  @Test("tables line up")
  func tables() {
    let table = Words.table(["A", "LONG"], [["long", "b"], ["c", "d"]])
    #expect(table == "A     LONG\nlong  b\nc     d")
    #expect(Words.facts([("A", "1"), ("Long", "2")]) == "A:     1\nLong:  2")
  }
}
