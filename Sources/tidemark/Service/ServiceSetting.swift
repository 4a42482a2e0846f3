internal import FileIO
internal import FoundationEssentials
internal import Operations

/// What 'tidemark serve' makes of a host.
enum ServiceKind {
  /// A vault's service.
  case service
  /// A process server that stands alone.
  case relay
}

/// What can be set for a service or a relay, each by a field of the configuration file, a variable of the
/// environment and an option of the command line; the later one of these counts.
enum ServiceSetting: String, CaseIterable, CodingKey {
  case vault
  case socket
  case httpsAddress
  case httpsPort
  case httpsCertificate
  case httpsKey
  case replicationAddress
  case replicationPort
  case mount
  case mountAllowOther
  case logLevel
  case logFormat
  case timeSource
  case cacheSize
  case advertise

  /// Whether it means something to a service or relay.
  func isUsed(by kind: ServiceKind) -> Bool {
    switch self {
    case .replicationAddress, .replicationPort, .logLevel, .logFormat, .timeSource: true
    case .cacheSize, .advertise: kind == .relay
    case .vault, .socket, .httpsAddress, .httpsPort, .httpsCertificate, .httpsKey, .mount,
      .mountAllowOther:
      kind == .service
    }
  }

  /// The variable: `TIDEMARK_HTTPS_PORT` for `httpsPort`.
  var variable: String {
    "TIDEMARK_"
      + rawValue.map { $0.isUppercase ? "_\($0)" : $0.uppercased() }.joined()
  }

  /// The option: `--https-port` for `httpsPort`.
  var option: String {
    "--" + rawValue.map { $0.isUppercase ? "-\($0.lowercased())" : "\($0)" }.joined()
  }
}

/// Where each setting's value comes from, and the value as text.
struct ServiceLayers {
  private var values: [ServiceSetting: (text: String, from: String)] = [:]

  /// Longer configuration files are refused.
  private static let fileLimit = 65536

  /// Reads the file, if there is one, and the environment, and puts the options on top.
  ///
  /// A variable may be there for others: one that means nothing to this kind is passed over.
  /// - Throws: `.refused` if the file is not sound, or file or options set what this kind does not use.
  init(
    file: String?, variable: (String) -> String?, options: [ServiceSetting: String],
    for kind: ServiceKind = .service
  ) throws(OperationError) {
    if let file { try load(file) }
    for setting in ServiceSetting.allCases {
      if setting.isUsed(by: kind), let text = variable(setting.variable), !text.isEmpty {
        values[setting] = (text, setting.variable)
      }
      if let text = options[setting] { values[setting] = (text, setting.option) }
    }
    for setting in ServiceSetting.allCases where !setting.isUsed(by: kind) {
      guard let origin = values[setting]?.from else { continue }
      throw OperationError(
        .refused,
        kind == .relay
          ? "\(origin) means nothing to a relay. Leave it out, or leave out --relay."
          : "\(origin) is for a relay. Add --relay, or leave it out.")
    }
  }

  private mutating func load(_ file: String) throws(OperationError) {
    let bytes: [UInt8]
    do throws(IOError) {
      bytes = try FileSystem.system.readFile(file, limit: Self.fileLimit)
    } catch { throw OperationError(.refused, "The configuration can't be read. \(error)") }
    let fields: [String: Scalar]
    do { fields = try JSONDecoder().decode([String: Scalar].self, from: Data(bytes)) } catch {
      throw OperationError(
        .refused,
        "The configuration '\(file)' is not one JSON object of texts, numbers, truths and lists of texts: \(error)"
      )
    }
    for (name, value) in fields.sorted(by: { $0.key < $1.key }) {
      guard let setting = ServiceSetting(rawValue: name) else {
        let known = ServiceSetting.allCases.map(\.rawValue).joined(separator: ", ")
        throw OperationError(
          .refused, "'\(name)' in '\(file)' is no setting. There are \(known).")
      }
      values[setting] = (value.text, "\(name) in '\(file)'")
    }
  }

  /// A setting's text; nil if nobody set it.
  func text(_ setting: ServiceSetting) -> String? { values[setting]?.text }

  /// A setting's value.
  ///
  /// - Throws: `.refused`, naming where it was set, if the text is none that `parse` takes.
  func value<Value>(
    _ setting: ServiceSetting, or usual: Value, _ kind: String, _ parse: (String) -> Value?
  ) throws(OperationError) -> Value {
    guard let (text, origin) = values[setting] else { return usual }
    guard let value = parse(text) else {
      throw OperationError(.refused, "\(origin) is \(kind), not '\(text)'.")
    }
    return value
  }

  /// A value of the configuration file.
  private struct Scalar: Decodable {
    let text: String

    init(from decoder: any Decoder) throws {
      let container = try decoder.singleValueContainer()
      if let truth = try? container.decode(Bool.self) {
        text = String(truth)
      } else if let number = try? container.decode(Int.self) {
        text = String(number)
      } else if let list = try? container.decode([String].self) {
        text = list.joined(separator: ",")
      } else {
        text = try container.decode(String.self)
      }
    }
  }
}
