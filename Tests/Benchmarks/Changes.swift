internal import FileIO
internal import Support

/// One write: bytes that the pristine image has elsewhere, so that they are as real, and as
/// compressible, as the rest.
struct Write {
  let offset: UInt64
  let source: UInt64
  let count: Int
}

/// The random writes between recovery points; a seed decides them.
struct Changes {
  private let pristine: InputImage
  private let count: Int
  /// For each stretch of data, the number of pages up to its end.
  private let pages: [Int]
  private var generator: SeededGenerator

  static let pageSize: UInt64 = 4096

  init(to image: InputImage, _ settings: Settings) {
    pristine = image
    count = settings.writesPerPoint
    generator = SeededGenerator(seed: settings.seed &+ 1)
    var total = 0
    pages = image.data.map { range in
      total += range.count / Int(Self.pageSize)
      return total
    }
  }

  /// The writes before the next recovery point, in order.
  mutating func next() -> [Write] {
    (0..<count).map { _ in
      let count = generator.number(1..<17) * Int(Self.pageSize)
      let last = Int((pristine.size - UInt64(count)) / Self.pageSize)
      let offset = UInt64(generator.number(0..<last + 1)) * Self.pageSize
      let source = min(dataPage(), pristine.size - UInt64(count))
      return Write(offset: offset, source: source, count: count)
    }
  }

  /// The offset of a page that holds data, each as likely.
  mutating func dataPage() -> UInt64 {
    let number = generator.number(0..<(pages.last ?? 1))
    // The first stretch that ends after the page of this number.
    var (low, high) = (0, pages.count - 1)
    while low < high {
      let middle = (low + high) / 2
      if pages[middle] > number { high = middle } else { low = middle + 1 }
    }
    let before = low > 0 ? pages[low - 1] : 0
    return pristine.data[low].lowerBound + UInt64(number - before) * Self.pageSize
  }

  /// Makes the writes to an image.
  func apply(_ writes: [Write], to path: String) throws {
    let source = try File(pristine.path, .reading)
    let image = try File(path, .writing)
    for write in writes {
      try image.write(try source.read(at: write.source, count: write.count), at: write.offset)
    }
    try image.sync()
  }
}
