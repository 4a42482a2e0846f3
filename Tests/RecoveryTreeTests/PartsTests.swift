internal import Testing

@testable import RecoveryTree

/// Goal: the small parts the tree is made of keep their promises by themselves.
struct PartsTests {
  @Test(
    "a file's name is read back as it is written",
    arguments: ["disk0.raw", "disk12.vhd", "disk0.part1.raw", "disk65535.part128.raw"])
  func imageNames(text: String) throws {
    #expect(try #require(ImageName(text)).description == text)
  }

  @Test("a bounded cache holds no more than its limit, and what was used lately")
  func cache() {
    var cache = BoundedCache<Int, Int>(limit: 8)
    for number in 0..<1000 {
      cache.insert(number * 2, for: number)
      #expect(cache.count <= 8)
      #expect(cache[number] == number * 2)
      #expect(cache[0] == 0, "asked for all the time")
    }
    #expect(cache[500] == nil)
  }
}
