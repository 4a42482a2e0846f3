internal import Foundation

/// What was measured, printed as it comes.
final class Report {
  /// A measurement's name, `what/whose/depth`, its median and all rounds.
  struct Number: Encodable {
    var type = "number"
    let name: String
    let value: Double
    let unit: String
    let rounds: [Double]
  }

  /// A fact about the machine or the input.
  struct Fact: Encodable {
    var type = "fact"
    let name: String
    let value: String
  }

  private let isJSON: Bool
  private(set) var numbers: [Number] = []

  init(isJSON: Bool) { self.isJSON = isJSON }

  /// Says on standard error what goes on.
  func progress(_ text: String) { FileHandle.standardError.write(Data("\(text)\n".utf8)) }

  /// Prints a line, at once.
  private func say(_ line: String) { FileHandle.standardOutput.write(Data("\(line)\n".utf8)) }

  func fact(_ name: String, _ value: String) {
    isJSON ? printJSON(Fact(name: name, value: value)) : say("\(name): \(value)")
  }

  /// Records the rounds of a measurement.
  func add(_ name: String, _ rounds: [Double], _ unit: String) {
    let sorted = rounds.sorted()
    let number = Number(
      name: name, value: sorted[sorted.count / 2], unit: unit, rounds: rounds)
    numbers.append(number)
    guard !isJSON else { return printJSON(number) }
    let all = rounds.count > 1 ? rounds.map(Self.text).joined(separator: " ") : ""
    say(
      Self.padded(name, 52) + Self.padded(Self.text(number.value), -10)
        + " " + (all.isEmpty ? unit : Self.padded(unit, 6) + "(\(all))"))
  }

  func value(_ name: String) -> Double? { numbers.first { $0.name == name }?.value }

  /// The numbers whose names begin so, by the rest of their names.
  func names(_ prefix: String) -> [String] {
    numbers.filter { $0.name.hasPrefix(prefix) }.map { String($0.name.dropFirst(prefix.count)) }
  }

  /// The final tables: disks against ways of reading, and budgets.
  func finish(_ budgets: [Budget], measures: [Measure]) {
    let judged = budgets.compactMap { $0.judged(by: self) }
    guard !isJSON else { return judged.forEach(printJSON) }
    printReads(measures)
    say("\n" + Self.padded("budget", 64) + Self.padded("reached", -9) + Self.padded("limit", -9))
    for budget in judged {
      say(
        Self.padded(budget.name, 64) + Self.padded(Self.text(budget.value), -9)
          + Self.padded((budget.atMost ? "≤ " : "≥ ") + Self.text(budget.limit), -9)
          + (budget.met ? "" : "  MISSED"))
    }
  }

  private func printReads(_ measures: [Measure]) {
    guard let first = measures.first, !names(first.name + "/").isEmpty else { return }
    let short = ["random d1", "random d8", "data d1", "data d8", "direct", "buffered"]
    say("\n" + Self.padded("reads", 20) + short.map { Self.padded($0, -10) }.joined())
    for disk in names(first.name + "/") {
      let values = measures.map { value($0.name + "/" + disk).map(Self.text) ?? "" }
      say(Self.padded(disk, 20) + values.map { Self.padded($0, -10) }.joined())
    }
  }

  private func printJSON(_ value: some Encodable) {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    guard let data = try? encoder.encode(value) else { return }
    say(String(decoding: data, as: UTF8.self))
  }

  /// Three digits that matter, or all before the point.
  private static func text(_ value: Double) -> String {
    let digits = value >= 100 ? 0 : value >= 10 ? 1 : value >= 1 ? 2 : 3
    return String(format: "%.\(digits)f", value)
  }

  /// `text` in a column of so many characters; negative widths are filled up on the left.
  private static func padded(_ text: String, _ width: Int) -> String {
    let fill = String(repeating: " ", count: max(0, abs(width) - text.count))
    return width < 0 ? fill + text : text + fill
  }
}
