import Foundation

/// The source tree that these tests are part of, as text.
struct Tree {
  /// One file: its path from the top of the tree, and its lines.
  struct SourceFile {
    let path: String
    let text: String
    var lines: [Substring] { text.split(separator: "\n", omittingEmptySubsequences: false) }
    /// The lines with comments and the insides of string literals blanked out.
    var code: [String] { Code.blanked(text) }
    /// The second part of the path: the module the file belongs to.
    var module: String { path.split(separator: "/").dropFirst().first.map(String.init) ?? "" }
  }

  /// The top of the tree.
  static let root: URL = {
    var url = URL(fileURLWithPath: #filePath)
    for _ in 0..<3 { url.deleteLastPathComponent() }
    return url
  }()

  /// Everything that is kept under version control, as far as it is text.
  static let parts = [
    "Package.swift", "README.md", ".swift-format", ".gitignore", ".ci", "Sources", "Mount", "Tests",
    "Scripts",
  ]

  /// The files of some parts of the tree whose names end so.
  static func files(in parts: [String] = Self.parts, _ endings: String...) -> [SourceFile] {
    var found: [SourceFile] = []
    for part in parts {
      let url = root.appendingPathComponent(part)
      let inner = (try? FileManager.default.subpathsOfDirectory(atPath: url.path)) ?? []
      for path in [part] + inner.map({ part + "/" + $0 }).sorted() {
        guard endings.isEmpty || endings.contains(where: path.hasSuffix),
          let data = FileManager.default.contents(atPath: root.appendingPathComponent(path).path),
          let text = String(bytes: data, encoding: .utf8)
        else { continue }
        found.append(SourceFile(path: path, text: text))
      }
    }
    return found
  }

  /// The Swift files of the product.
  static let product = files(in: ["Sources", "Mount"], ".swift")
  /// All Swift files.
  static let swift = files(in: ["Package.swift", "Sources", "Mount", "Tests"], ".swift")
}
