import Bytes
import FileIO
import Support
import Testing

@testable import Identity

/// Goal: a signature is one by anyone's measure, and nothing else is. Method: openssl checks ours, we
/// check openssl's; then every bit is flipped.
struct SignatureTests {
  @Test("openssl accepts our signatures and we accept openssl's")
  func judge() throws {
    let bench = try Bench()
    let end = try bench.enrolled(.agent(.random()))
    var random = SeededGenerator(for: "digest")
    let digest = random.bytes(32)
    let signature = try end.signingKey.sign(digest)
    #expect(signature.count <= VerifyingKey.largestSignature)
    let message = try bench.write(digest, as: "digest")
    let certificate = try bench.write(end.certificatePEM, as: "end.pem")
    let key = try Program.require("openssl", "x509", "-in", certificate, "-noout", "-pubkey")
    let ours = try bench.openssl(
      "dgst", "-sha256", "-verify", try bench.write(key, as: "public.pem"), "-signature",
      try bench.write(signature, as: "signature"), message)
    #expect(ours.succeeded, "\(ours.report)")
    let secret = try bench.write(end.privateKeyPEM, as: "private.pem")
    let out = bench.directory.file("theirs")
    try Program.require("openssl", "dgst", "-sha256", "-sign", secret, "-out", out, message)
    let bytes = try FileSystem.system.readFile(out, limit: 100)
    let verifying = try VerifyingKey(certificatePEM: end.certificatePEM)
    #expect(verifying.isValid(bytes, for: digest))
    #expect(verifying.isValid(signature, for: digest))
    #expect(end.identity.verifyingKey == verifying)
    #expect(try SigningKey(pem: end.privateKeyPEM).verifyingKey == verifying)
  }

  @Test("any changed bit of signature or digest, and any other key, makes a signature invalid")
  func flips() throws {
    let bench = try Bench()
    let (one, two) = (try bench.enrolled(.service), try bench.enrolled(.service))
    var random = SeededGenerator(for: "flips")
    let digest = random.bytes(32)
    let signature = try one.signingKey.sign(digest)
    let key = one.identity.verifyingKey
    #expect(!two.identity.verifyingKey.isValid(signature, for: digest))
    for bit in 0..<signature.count * 8 {
      var wrong = signature
      wrong[bit / 8] ^= 1 << UInt8(bit % 8)
      #expect(!key.isValid(wrong, for: digest))
    }
    for bit in 0..<digest.count * 8 {
      var wrong = digest
      wrong[bit / 8] ^= 1 << UInt8(bit % 8)
      #expect(!key.isValid(signature, for: wrong))
    }
    for length in 0..<100 { #expect(!key.isValid(random.bytes(length), for: digest)) }
    #expect(!key.isValid(signature + [0], for: digest))
  }
}
