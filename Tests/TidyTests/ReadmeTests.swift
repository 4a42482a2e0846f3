import Foundation
import Support
import Testing

/// The README's commands work as they stand: every block fenced as `sh` is run, in order, in one
/// shell that stops at the first failure, in a home and a directory of its own, with `tidemark` in
/// the PATH. Blocks fenced otherwise (`console`, `text`) show something and are not run.
struct ReadmeTests {
  /// The insides of the blocks of `text` that are fenced as `sh`.
  static func blocks(in text: String) -> [String] {
    var blocks: [String] = []
    var open: [Substring]?
    for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
      if line == "```sh" {
        open = []
      } else if line == "```", let lines = open {
        blocks.append(lines.joined(separator: "\n"))
        open = nil
      } else {
        open?.append(line)
      }
    }
    return blocks
  }

  @Test("blocks are found by their fence, others are left alone")
  func finding() {
    let text = "a\n```sh\none\ntwo\n```\n```console\n$ no\n```\n```sh\nthree\n```\n"
    #expect(Self.blocks(in: text) == ["one\ntwo", "three"])
  }

  @Test("the README's commands run as they are printed", .enabled(if: Available.fuse))
  func commands() throws {
    guard let readme = Tree.files(in: ["README.md"]).first else { return }
    let blocks = Self.blocks(in: readme.text)
    try #require(!blocks.isEmpty, "the README shows no command that can be run")
    let home = try TemporaryDirectory("readme")
    try Program.require("mkdir", home.file("bin"), home.file("here"))
    try Program.require("ln", "-s", Product.tidemark, home.file("bin/tidemark"))
    let script = """
      set -euo pipefail
      leave() {
        findmnt --raw --noheadings --output TARGET | { grep "^$HOME/" || true; } |
          xargs -r -n1 umount --lazy
      }
      trap leave EXIT
      set -x

      """
    try (script + blocks.joined(separator: "\n")).write(
      toFile: home.file("script"), atomically: true, encoding: .utf8)
    let path = home.file("bin") + ":" + (ProcessInfo.processInfo.environment["PATH"] ?? "")
    let result = try Program.run(
      "bash", home.file("script"), environment: ["HOME": home.path, "PATH": path],
      in: home.file("here"), seconds: 600)
    #expect(result.succeeded, "\(result.report)")
  }
}
