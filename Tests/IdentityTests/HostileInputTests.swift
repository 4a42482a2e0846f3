import Bytes
import Support
import Testing

@testable import Identity

/// Goal: no bytes, whoever made them, do more than raise an error. Method: random bytes, and good keys,
/// certificates and requests with random changes, for every parser; nothing changed is ever believed.
struct HostileInputTests {
  private let count = Count.of("TIDEMARK_FUZZ", normally: 3000)

  private func changed(_ bytes: [UInt8], _ random: inout SeededGenerator) -> [UInt8] {
    var bytes = bytes
    for _ in 0...random.number(0..<3) where !bytes.isEmpty {
      let place = random.number(0..<bytes.count)
      switch random.number(0..<5) {
      case 0: bytes[place] ^= 1 << UInt8(random.number(0..<8))
      case 1: bytes[place] = UInt8(truncatingIfNeeded: random.next())
      case 2: bytes.removeSubrange(place..<min(bytes.count, place + random.number(1..<9)))
      case 3: bytes.insert(contentsOf: random.bytes(random.number(1..<9)), at: place)
      default: bytes[place] = [0, 0x7F, 0x80, 0x81, 0x84, 0xFF][random.number(0..<6)]
      }
    }
    return bytes
  }

  /// The part of a certificate that is signed; how the signature behind it is written may differ and mean the same,
  /// as by bits of padding.
  private func signed(_ certificate: [UInt8]) -> ArraySlice<UInt8> {
    certificate.prefix(8 + (Int(certificate[6]) << 8 | Int(certificate[7])))
  }

  @Test("certificates in DER whose signed part was changed are refused, and none is a trap")
  func certificates() throws {
    var random = SeededGenerator(for: "certificates")
    let bench = try Bench()
    let good = try der(
      try bench.enrolled(.service, names: ["a.org", "::1"]).certificatePEM)
    for _ in 0..<count {
      let bytes = changed(good, &random)
      guard bytes != good else { continue }
      let told = code {
        _ = try bench.authority.trust.verify(certificateDER: bytes, now: bench.now)
      }
      #expect(
        told != nil || bytes.starts(with: signed(good)), "believed \(hexadecimal(bytes))")
      _ = try? PeerIdentity(certificateDER: bytes)
      let noise = random.bytes(random.number(0..<400))
      #expect(code { _ = try PeerIdentity(certificateDER: noise) } == .damaged)
    }
    let tooLong = [UInt8](repeating: 0x30, count: 1 << 20)
    #expect(code { _ = try PeerIdentity(certificateDER: tooLong) } == .damaged)
    let nested = (0..<4000).flatMap { _ in [0x30, 0x80] as [UInt8] }
    #expect(code { _ = try PeerIdentity(certificateDER: nested) } == .damaged)
  }

  @Test("PEM texts that were changed or made up never trap, whichever parser they reach")
  func texts() throws {
    var random = SeededGenerator(for: "texts")
    let bench = try Bench()
    let end = try bench.enrolled(.agent(.random()))
    let request = try bench.end("end").makeRequest(for: .service).pem
    let texts = [
      end.certificatePEM, end.privateKeyPEM, request, bench.authority.certificatePEM,
      "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
    ]
    for round in 0..<count {
      let good = texts[round % texts.count]
      let text = String(decoding: changed(Array(good.utf8), &random), as: UTF8.self)
      _ = try? CertificateRequest(pem: text)
      _ = try? Trust(certificatePEM: text)
      _ = try? SigningKey(pem: text)
      _ = try? VerifyingKey(certificatePEM: text)
      let mixed = try? Credentials(
        privateKeyPEM: end.privateKeyPEM, certificatePEM: text,
        authorityPEM: bench.authority.certificatePEM)
      #expect(mixed == nil || mixed?.identity == end.identity)
    }
  }

  @Test("URIs, roles and fingerprints are read exactly as they are written, and nothing else is")
  func names() throws {
    var random = SeededGenerator(for: "names")
    let vault = Identifier.random()
    let good = [
      IdentityURI.authority(vault: vault), .holder(vault: vault, .service),
      .holder(vault: vault, .agent(.random())), .holder(vault: vault, .relay(.random())),
    ]
    for uri in good { #expect(IdentityURI(uri.text) == uri) }
    for round in 0..<count {
      let bytes = changed(Array(good[round % good.count].text.utf8), &random)
      let text = String(decoding: bytes, as: UTF8.self)
      if let read = IdentityURI(text) { #expect(read.text == text) }
      _ = Fingerprint(text)
    }
    #expect(Fingerprint("") == nil && Fingerprint(bytes: []) == nil)
    #expect(Fingerprint(String(repeating: "g", count: 64)) == nil)
    #expect(Role("service/") == nil && Role("") == nil && Role("agent/") == nil)
  }
}
