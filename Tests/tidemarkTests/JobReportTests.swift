import ControlAPI
import Foundation
import Testing

@testable import tidemark

/// Goal: a list of jobs tells what each is about just now. Method: jobs as a service tells of them.
@Suite struct JobReportTests {
  private func line(_ state: String, _ tasks: [String], _ rest: String = "") throws -> String {
    let list = zip(["Wait", "Compare"], tasks).map { #"{"name":"\#($0)","state":"\#($1)"}"# }
    let text = #"""
      {"id":7,"kind":"K","state":"\#(state)","tasks":[\#(list.joined(separator: ","))],
      "created":"2026-11-20T10:30:00Z"\#(rest)}
      """#
    return JobReport.line(try JSONDecoder().decode(JobDocument.self, from: Data(text.utf8)))
  }

  @Test("the detail of a job begins with the task it is at, or stopped at")
  func details() throws {
    let progress = #","progress":{"step":"comparing","doneBytes":1,"totalBytes":4}"#
    let error = #","error":{"code":"failed","message":"No luck."}"#
    let cases: [(state: String, tasks: [String], rest: String, line: String)] = [
      ("InProgress", ["NotStarted", "NotStarted"], "", "7  K  InProgress  Wait"),
      ("InProgress", ["Succeeded", "InProgress"], "", "7  K  InProgress  Compare"),
      (
        "InProgress", ["Succeeded", "InProgress"], progress,
        "7  K  InProgress  Compare: comparing: 25 %"
      ),
      ("Failed", ["Succeeded", "Failed"], error, "7  K  Failed  Compare: No luck."),
      ("Succeeded", ["Succeeded", "Succeeded"], progress, "7  K  Succeeded  comparing: 25 %"),
      ("Succeeded", [], "", "7  K  Succeeded"),
    ]
    for (state, tasks, rest, expected) in cases {
      #expect(try line(state, tasks, rest) == expected)
    }
  }
}
