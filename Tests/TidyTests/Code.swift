/// What can be told of Swift code without a compiler: what is code at all, and where functions end.
enum Code {
  /// The lines of `text` with comments and the insides of string literals replaced by blanks.
  static func blanked(_ text: String) -> [String] {
    var scanner = Scanner(text: Array(text.utf8))
    return String(decoding: scanner.run(), as: UTF8.self)
      .split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
  }

  /// A function of a file: the line of its declaration, from 1, and its number of lines.
  struct Function: Equatable {
    let line: Int
    let length: Int
  }

  /// Every function, initialiser and subscript with a body, from declaration to closing brace.
  static func functions(in code: [String]) -> [Function] {
    var found: [Function] = []
    let declaration = /\b(func [^\s(]+|init[?]?[(<]|deinit|subscript[(<])/
    for (index, line) in code.enumerated() {
      guard let match = line.firstMatch(of: declaration),
        !line[..<match.range.lowerBound].hasSuffix(".")
      else { continue }
      if let end = bodyEnd(
        of: [line[match.range.lowerBound...]] + code[(index + 1)...].map { $0[...] })
      {
        found.append(Function(line: index + 1, length: end + 1))
      }
    }
    return found
  }

  /// The index of the line that ends the body of the declaration these lines begin with; nil if it
  /// has no body, as in a protocol.
  private static func bodyEnd(of code: [Substring]) -> Int? {
    var (braces, parentheses) = (0, 0)
    for index in code.indices {
      for character in code[index] {
        switch character {
        case "(": parentheses += 1
        case ")": parentheses -= 1
        // Braces within parentheses are closures, or defaults of parameters.
        case "{" where parentheses == 0: braces += 1
        case "}" where parentheses == 0:
          braces -= 1
          if braces <= 0 { return braces == 0 ? index : nil }
        default: break
        }
      }
      // A declaration that is complete and opened no body within it has none.
      let next = index + 1 < code.count ? code[index + 1].drop { $0 == " " } : ""
      let goesOn =
        parentheses > 0
        || [")", "{", "->", "throws", "async", "where"].contains { next.hasPrefix($0) }
      if braces == 0, !goesOn { return nil }
    }
    return nil
  }
}

/// Walks through Swift text and blanks what is no code.
private struct Scanner {
  let text: [UInt8]
  var place = 0
  var output: [UInt8] = []

  init(text: [UInt8]) { self.text = text }

  mutating func run() -> [UInt8] {
    while place < text.count {
      if matches("//") {
        blank { !$0.matches("\n") }
      } else if matches("/*") {
        blank { !$0.matches("*/") }
      } else if matches("\"\"\"") {
        literal("\"\"\"")
      } else if matches("\"") {
        literal("\"")
      } else {
        keep(1)
      }
    }
    return output
  }

  func matches(_ word: String) -> Bool { text[place...].starts(with: word.utf8) }

  private mutating func keep(_ count: Int) {
    output += text[place..<min(place + count, text.count)]
    place += count
  }

  private mutating func blank(while condition: (Scanner) -> Bool) {
    while place < text.count, condition(self) {
      output.append(text[place] == UInt8(ascii: "\n") ? UInt8(ascii: "\n") : UInt8(ascii: " "))
      place += 1
    }
  }

  /// Keeps the quotes and blanks the inside, interpolations included.
  private mutating func literal(_ quote: String) {
    keep(quote.utf8.count)
    while place < text.count, !matches(quote) {
      if quote.utf8.count == 1, matches("\n") { return }
      if matches("\\(") {
        interpolation()
      } else {
        let width = matches("\\") ? 2 : 1
        let end = place + width
        blank { $0.place < end }
      }
    }
    keep(quote.utf8.count)
  }

  private mutating func interpolation() {
    var depth = 0
    repeat {
      if matches("(") { depth += 1 }
      if matches(")") { depth -= 1 }
      let end = place + 1
      blank { $0.place < end }
    } while place < text.count && (depth > 0 || text[place - 1] == UInt8(ascii: "\\"))
  }
}
