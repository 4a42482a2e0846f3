internal import ArgumentParser
internal import Codecs
internal import ImageFormats
internal import Vault

/// Values that a person chooses among by a word.
protocol Choosable: CaseIterable, Sendable {
  /// The word.
  var word: String { get }
}

/// An option's value that is one of several words.
struct Choice<Value: Choosable>: ExpressibleByArgument {
  let value: Value

  init(_ value: Value) { self.value = value }

  init?(argument: String) {
    guard let found = Value.allCases.first(where: { $0.word == argument }) else { return nil }
    value = found
  }

  static var allValueStrings: [String] { Value.allCases.map(\.word) }

  static var defaultCompletionKind: CompletionKind { .list(allValueStrings) }

  var defaultValueDescription: String { value.word }
}

extension Codec: Choosable {
  var word: String { name }
}

extension CaptureMode: Choosable {
  var word: String { name }
}

extension OperatingSystem: Choosable {
  var word: String { name }
}

extension SourceFormat: Choosable {
  var word: String { name }
}

extension ExportFormat: Choosable {
  var word: String { rawValue }
}

extension UploadTarget: Choosable {
  var word: String { rawValue }
}
