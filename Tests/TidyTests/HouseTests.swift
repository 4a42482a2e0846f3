import Foundation
import Support
import Testing

/// The rules of the house that a machine can check. Words that must not appear are put together
/// here from parts, so that this file does not find itself.
struct HouseTests {
  @Test("no file of the product is longer than 400 lines")
  func fileLengths() {
    for file in Tree.files(in: ["Sources", "Mount"], ".swift", ".c", ".h") {
      let count = file.lines.count - 1
      #expect(count <= 400, "\(file.path) has \(count) lines")
    }
  }

  @Test("no function of the product is longer than 60 lines")
  func functionLengths() {
    var seen = 0
    for file in Tree.product {
      for function in Code.functions(in: file.code) {
        seen += 1
        #expect(
          function.length <= 60, "\(file.path):\(function.line) is \(function.length) lines long")
      }
    }
    #expect(seen > 20, "functions were found at all")
  }

  @Test("the length of functions is measured right")
  func measuring() {
    let code = Code.blanked(
      """
      protocol P { func none(_ x: Int)
        func other() throws -> Int
      }
      func one() { "}" } // }
      func three(
        _ x: () -> Void = {}
      ) { if true { "\\(x { })" } }
      struct S { init() {
        let s = \"\"\"
          } {
          \"\"\"
        } }
      """)
    #expect(
      Code.functions(in: code) == [
        Code.Function(line: 4, length: 1), Code.Function(line: 5, length: 3),
        Code.Function(line: 8, length: 5),
      ])
  }

  @Test("nothing is left undone, nothing traps by convenience, and only the command prints")
  func bannedWords() {
    let undone = ["TO" + "DO", "FIX" + "ME", "XX" + "X"]
    for file in Tree.files() {
      for (index, line) in file.lines.enumerated() {
        for word in undone where line.contains(word) && !line.contains("XXXX") {
          Issue.record("\(file.path):\(index + 1) says \(word)")
        }
      }
    }
    for file in Tree.swift {
      for (index, line) in file.code.enumerated() where line.contains("try" + "!") {
        Issue.record("\(file.path):\(index + 1) must handle the error")
      }
      for (index, line) in file.lines.enumerated()
      where line.lowercased().contains("fatalerror(\"not " + "implemented") {
        Issue.record("\(file.path):\(index + 1) is not done")
      }
    }
    for file in Tree.product where file.module != "tidemark" {
      for (index, line) in file.code.enumerated() where line.contains(/(^|[^\w.])(debugP|p)rint\(/)
      {
        Issue.record("\(file.path):\(index + 1) prints; only the command does")
      }
    }
  }

  @Test("every promise made to the compiler without its check has its reason beside it")
  func unchecked() {
    for file in Tree.swift {
      let (code, lines) = (file.code, file.lines)
      // (These patterns are found too, and this is the reason beside them.)
      for (index, line) in code.enumerated()
      where line.contains(/@unchecked Sendable|nonisolated\(unsafe\)/) {
        let above = lines[max(0, index - 3)...index]
        #expect(above.contains { $0.contains("//") }, "\(file.path):\(index + 1) lacks a reason")
      }
    }
  }

  @Test("no path of anyone's machine is in the tree")
  func machinePaths() {
    let places = ["/wo" + "rk/", "/tmp/" + "w/", "/op" + "t/", "/ro" + "ot/", "/Us" + "ers/"]
    for file in Tree.files() {
      for (index, line) in file.lines.enumerated() {
        for place in places where line.contains(place) {
          Issue.record("\(file.path):\(index + 1) names \(place)")
        }
      }
    }
  }

  @Test("the top of the tree holds what the design says, and nothing else")
  func topLevel() throws {
    let allowed: Set<String> = [
      "Package.swift", "Package.resolved", "Sources", "Tests", "Mount", "Scripts", "README.md",
    ]
    let names = try FileManager.default.contentsOfDirectory(atPath: Tree.root.path)
    let strangers = names.filter { !$0.hasPrefix(".") && !allowed.contains($0) }
    #expect(strangers.isEmpty, "\(strangers)")
  }

  @Test("every source file is formatted, documented and ordered as swift format wants it")
  func formatting() throws {
    let result = try Program.run(
      "swift", "format", "lint", "--strict", "--parallel", "--recursive", "Package.swift",
      "Sources", "Mount", "Tests", in: Tree.root.path, seconds: 300)
    #expect(result.succeeded, "\(result.report)")
  }

  @Test("every count that the environment can raise is raised and explained by Scripts/soak")
  func counts() throws {
    let soak = try #require(Tree.files(in: ["Scripts/soak"]).first).text
    for file in Tree.files(in: ["Tests"], ".swift") {
      for match in file.text.matches(of: /Count\.of\("([A-Z_]+)"/) {
        let name = match.1
        #expect(soak.contains("#   \(name) "), "\(name) of \(file.path) is not explained")
        #expect(soak.contains("export \(name)="), "\(name) of \(file.path) is not raised")
      }
    }
  }

  @Test("every script is strict, executable and sound bash")
  func scripts() throws {
    let scripts = Tree.files(in: ["Scripts", ".ci"]).filter {
      !$0.path.hasPrefix("Scripts/systemd/")
    }
    #expect(scripts.count >= 6)
    for script in scripts {
      #expect(script.lines.first == "#!/usr/bin/env bash", "\(script.path)")
      #expect(script.lines.contains("set -euo pipefail"), "\(script.path)")
      let path = Tree.root.appendingPathComponent(script.path).path
      #expect(FileManager.default.isExecutableFile(atPath: path), "\(script.path)")
      #expect(try Program.run("bash", "-n", path).succeeded, "\(script.path)")
    }
  }

  @Test(
    "every unit of systemd is one that systemd takes",
    .enabled(if: Available.programs("systemd-analyze")))
  func units() throws {
    let units = Tree.files(in: ["Scripts/systemd"], ".service")
    #expect(!units.isEmpty)
    let directory = try TemporaryDirectory("units")
    for unit in units {
      // What it starts is not installed here, and systemd looks.
      let text = unit.text.replacing("/usr/bin/tidemark", with: "/bin/true")
      let path = directory.file(String(unit.path.split(separator: "/").last ?? ""))
      try text.write(toFile: path, atomically: true, encoding: .utf8)
      let result = try Program.run("systemd-analyze", "verify", "--man=no", path)
      #expect(result.succeeded && !result.errors.contains("unit"), "\(result.report)")
    }
  }
}
