/// A service as a person names it: `host`, `host:port`, `[address]:port`.
struct ServiceName: Equatable {
  let host: String
  let port: Int?

  /// Nil if it is none of these.
  init?(_ text: String) {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    var (host, port) = (text[...], Substring?.none)
    if text.hasPrefix("["), let end = text.lastIndex(of: "]") {
      host = text[text.index(after: text.startIndex)..<end]
      let rest = text[text.index(after: end)...]
      guard rest.isEmpty || rest.hasPrefix(":") else { return nil }
      port = rest.isEmpty ? nil : rest.dropFirst()
    } else if parts.count == 2 {
      (host, port) = (parts[0], parts[1])
    }
    guard !host.isEmpty, !host.contains(where: { $0.isWhitespace || $0 == "/" }) else { return nil }
    if let port {
      guard let number = UInt16(port), number > 0 else { return nil }
      self.port = Int(number)
    } else {
      self.port = nil
    }
    self.host = String(host)
  }
}
