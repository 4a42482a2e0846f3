import Bytes
import Support
import Testing

@testable import Identity

/// Goal: a key typed or pasted is the key that was shown, or the typing error is named. Method: every
/// single wrong character, every exchange of neighbours, and random text.
struct RegistrationKeyTests {
  private func key(_ random: inout SeededGenerator) throws -> RegistrationKey {
    RegistrationKey(for: try #require(Fingerprint(bytes: random.bytes(32))))
  }

  @Test("a key's text gives the key back, however it is laid out")
  func roundTrip() throws {
    var random = SeededGenerator(for: "registration keys")
    for _ in 0..<100 {
      let key = try key(&random)
      let text = key.text
      #expect(text.utf8.count == 112)
      let layouts = [
        text, text.lowercased(), text.filter { $0 != "-" }, "  \(text)\n",
        text.map { $0 == "0" ? "o" : $0 == "1" ? "L" : "\($0)" }.joined(),
        text.replacing("-", with: "\n  "),
      ]
      for layout in layouts {
        let read = try RegistrationKey(text: layout)
        #expect(read.secret == key.secret && read.fingerprint == key.fingerprint)
        #expect(read.digest == key.digest && read.digest.count == 32)
      }
    }
  }

  @Test("secrets differ, and no description tells them")
  func secrets() throws {
    var random = SeededGenerator(for: "fingerprint")
    let (one, two) = (try key(&random), try key(&random))
    #expect(one.secret != two.secret && one.secret.count == 20)
    #expect(!"\(one)".contains(hexadecimal(one.secret)))
    #expect(!"\(one)".contains(one.text.split(separator: "-")[1]))
  }

  @Test("every wrong character and every exchange of neighbours is found, and its group named")
  func typingErrors() throws {
    var random = SeededGenerator(for: "typing errors")
    let key = try key(&random)
    let text = Array(key.text)
    let alphabet = Array("0123456789ABCDEFGHJKMNPQRSTVWXYZU*é")
    for place in 5..<text.count where text[place] != "-" {
      let group = (place - 5) / 9 + 1
      for other in alphabet where other != text[place] {
        var wrong = text
        wrong[place] = other
        let told = message { _ = try RegistrationKey(text: String(wrong)) }
        let says = told.contains("Group \(group) ") || other == "é"
        #expect(says && !told.isEmpty, "\(place): \(told)")
      }
      guard place + 1 < text.count, text[place + 1] != "-", text[place + 1] != text[place]
      else { continue }
      var wrong = text
      wrong.swapAt(place, place + 1)
      let told = message { _ = try RegistrationKey(text: String(wrong)) }
      #expect(told.contains("Group \(group) "), "\(place): \(told)")
    }
  }

  @Test("groups changed round, left out or doubled, and other text, are refused with a reason")
  func otherText() throws {
    var random = SeededGenerator(for: "other text")
    let groups = try key(&random).text.split(separator: "-").map(String.init)
    var swapped = groups
    swapped.swapAt(3, 4)
    let short = Array(groups.dropLast())
    let doubled = groups + [groups[12]]
    for wrong in [swapped, short, doubled] {
      #expect(code { _ = try RegistrationKey(text: wrong.joined(separator: "-")) } == .damaged)
    }
    let counted = message { _ = try RegistrationKey(text: short.joined(separator: "-")) }
    #expect(counted.contains("96") && counted.contains("88"), "\(counted)")
    for wrong in ["", "TMK1", "TMK2-" + groups.dropFirst().joined(separator: "-"), "hello"] {
      #expect(code { _ = try RegistrationKey(text: wrong) } == .damaged)
    }
    for _ in 0..<Count.of("TIDEMARK_FUZZ", normally: 5000) {
      let bytes = random.bytes(random.number(0..<600))
      let text =
        random.once(in: 2)
        ? String(decoding: bytes, as: UTF8.self)
        : "TMK1" + bytes.map { String($0 & 31, radix: 32) }.joined()
      #expect(code { _ = try RegistrationKey(text: text) } == .damaged)
    }
  }
}
