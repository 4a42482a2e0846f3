internal import Glibc

/// The names that this host's service is called by.
enum HostNames {
  /// The host's own name, `localhost`, the loopback addresses, and `address` if it is one of many.
  static func all(with address: String) -> [String] {
    var names = ["localhost", "127.0.0.1", "::1"]
    var buffer = [CChar](repeating: 0, count: 256)
    if gethostname(&buffer, buffer.count - 1) == 0 {
      let name = String(
        decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      // What a host may call itself is not always what a certificate may.
      let isPlain = name.utf8.allSatisfy { byte in
        let character = Character(UnicodeScalar(byte))
        return byte < 128 && (character.isLetter || character.isNumber || "-.".contains(character))
      }
      if isPlain, !name.isEmpty, !names.contains(name) { names.append(name) }
    }
    let isAny = address == "0.0.0.0" || address == "::"
    if !isAny, !names.contains(address) { names.append(address) }
    return names
  }
}
