import Bytes
import Support
import Testing

/// Identifiers as texts, and sequence numbers' order.
struct IdentifierTests {
  @Test("a random identifier is a UUID of version 4 and reads back from its text")
  func randomIdentifiers() throws {
    var random = SeededGenerator(for: "identifiers")
    for _ in 0..<500 {
      let identifier = Identifier.random(using: &random)
      let text = identifier.description
      #expect(Identifier(text) == identifier)
      #expect(Identifier(text.uppercased()) == identifier)
      let digits = Array(text)
      #expect(digits[14] == "4" && "89ab".contains(digits[19]))
    }
    #expect(Identifier.random() != Identifier.random())
  }

  @Test("an identifier of few digits keeps its zeros")
  func leadingZeros() {
    let text = "00000000-0000-0001-0000-00000000000a"
    #expect(Identifier(high: 1, low: 10).description == text)
    #expect(Identifier(text) == Identifier(high: 1, low: 10))
  }

  @Test(
    "what is no UUID is refused",
    arguments: [
      "", "0", "00000000-0000-0000-0000-00000000000", "00000000-0000-0000-0000-0000000000000",
      "00000000000000000000000000000000", "0000000-00000-0000-0000-000000000000",
      "00000000-0000-0000-0000-00000000000g", "+0000000-0000-0000-0000-000000000000",
      "00000000-0000-0000-+000-000000000000", "{0000000-0000-0000-0000-00000000000}",
      "0000000é-0000-0000-0000-00000000000", "------------------------------------",
    ])
  func refused(text: String) {
    #expect(Identifier(text) == nil)
  }

  @Test("sequence numbers are ordered from before the first to after the last")
  func sequenceNumbers() {
    #expect(SequenceNumber.zero < SequenceNumber.zero.next)
    #expect(SequenceNumber(rawValue: 9) < SequenceNumber(rawValue: 10))
    #expect(SequenceNumber(rawValue: .max) == .last)
  }

  @Test("the sizes of the layout fit into each other")
  func layout() {
    #expect(Layout.pagesPerBlock == UInt16.bitWidth)
    #expect(Layout.cellsPerBlock * Layout.cellSize == Layout.blockSize)
    #expect(Layout.pagesPerCell * Layout.pageSize == Layout.cellSize)
    #expect(Layout.largestDisk / UInt64(Layout.blockSize) == 1 << 32)
    #expect(Layout.pageSize % Layout.sectorSize == 0)
  }
}
