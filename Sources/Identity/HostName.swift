internal import Glibc
internal import SwiftASN1
internal import X509

/// The names and addresses a service's certificate may carry.
enum HostName {
  /// The alternative name for a DNS name, an IPv4 or an IPv6 address.
  static func alternative(_ text: String) throws(IdentityError) -> GeneralName {
    if let bytes = address(text, AF_INET, 4) ?? address(text, AF_INET6, 16) {
      return .ipAddress(ASN1OctetString(contentBytes: bytes[...]))
    }
    guard isDNSName(text) else {
      throw IdentityError(
        .refused, "'\(text)' is neither a host name nor an address, so no certificate names it.")
    }
    return .dnsName(text.lowercased())
  }

  /// The DNS names and addresses that a certificate carries, as text.
  static func all(in certificate: Certificate) -> [String] {
    guard let names = try? certificate.extensions.subjectAlternativeNames else { return [] }
    return names.compactMap { name in
      switch name {
      case .dnsName(let text): text
      case .ipAddress(let bytes): text(of: Array(bytes.bytes))
      default: nil
      }
    }
  }

  /// A name or address as a certificate gives it back.
  static func canonical(_ text: String) -> String {
    let bytes = address(text, AF_INET, 4) ?? address(text, AF_INET6, 16)
    return bytes.flatMap { self.text(of: $0) } ?? text.lowercased()
  }

  /// An IPv4 or IPv6 address as text (inet_ntop(3)).
  private static func text(of address: [UInt8]) -> String? {
    let family: Int32
    switch address.count {
    case 4: family = AF_INET
    case 16: family = AF_INET6
    default: return nil
    }
    var buffer = [CChar](repeating: 0, count: 64)
    guard inet_ntop(family, address, &buffer, socklen_t(buffer.count)) != nil else { return nil }
    return String(
      decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  private static func address(_ text: String, _ family: Int32, _ count: Int) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: count)
    return inet_pton(family, text, &bytes) == 1 ? bytes : nil
  }

  /// Letters, digits and inner hyphens in labels of 1 to 63 (RFC 1123 §2.1), 253 in all; the last
  /// label is not a number, which would look like half an address.
  private static func isDNSName(_ text: String) -> Bool {
    let labels = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    guard text.utf8.count <= 253, let last = labels.last, Int(String(last) ?? "") == nil else {
      return false
    }
    return labels.allSatisfy { label in
      (1...63).contains(label.count) && label.first != UInt8(ascii: "-")
        && label.last != UInt8(ascii: "-")
        && label.allSatisfy {
          (48...57).contains($0) || (65...90).contains($0) || (97...122).contains($0)
            || $0 == UInt8(ascii: "-")
        }
    }
  }
}
