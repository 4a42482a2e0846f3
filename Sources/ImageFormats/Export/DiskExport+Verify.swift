public import Bytes
internal import FileIO

extension DiskExport {
  /// Reads the exported file back and compares it with its source, byte by byte.
  ///
  /// Blocks until it is done. What the kernel has cached of the file is dropped first, so that the
  /// bytes come from where they are kept.
  ///
  /// - Parameters:
  ///   - content: the disk that was exported.
  ///   - path: the file it was exported to.
  ///   - progress: told how many bytes of the disk are compared, and how many there are.
  ///   - isCancelled: asked after every 2 MiB; true ends the comparison with `.cancelled`.
  /// - Throws: `.different`, naming the first byte that is; what `openImage` throws; `.source`,
  ///   `.cancelled`.
  public func verify(
    _ content: any DiskContent, at path: String,
    progress: (_ done: UInt64, _ total: UInt64) -> Void = { _, _ in },
    isCancelled: () -> Bool = { false }
  ) throws(ImageError) {
    let image = try openExported(path, size: content.size)
    let total = image.size
    progress(0, total)
    let chunk = ExportRun.chunk
    let reader = ReadAhead<Int?>(
      from: 0, bufferSize: Int(chunk) * 2,
      next: { (cursor) throws(ImageError) in
        let kept = try fromImage { try image.nextStretch(from: cursor, chunk: chunk) }
        let wanted = try fromSource { try content.nextStretch(from: cursor, chunk: chunk) }
        guard let first = [kept, wanted].compactMap({ $0?.lowerBound }).min() else { return nil }
        return first..<min((first / chunk + 1) * chunk, total)
      },
      work: { (range, buffer) throws(ImageError) in
        try Self.firstDifference(in: range, of: image, from: content, using: buffer)
      })
    try reader.run { (range, _, difference) throws(ImageError) in
      if let difference {
        throw ImageError(
          .different,
          "The image '\(path)' differs from its source at byte "
            + "\(range.lowerBound + UInt64(difference)) of the disk. Remove it and export again.")
      }
      progress(range.upperBound, total)
      if isCancelled() { throw ImageError(.cancelled, "The comparison was cancelled.") }
    }
    progress(total, total)
  }

  private func openExported(_ path: String, size: UInt64) throws(ImageError) -> any DiskContent {
    let image: any DiskContent
    switch format {
    case .raw:
      let raw = try RawImage(path)
      raw.forgetCached()
      image = raw
    case .fixedVHD, .dynamicVHD:
      let vhd = try VHDImage(path)
      vhd.forgetCached()
      try checkFooter(of: vhd, size: size)
      image = vhd
    }
    let expected = format == .raw ? size : try VHD.paddedSize(of: size)
    guard image.size == expected else {
      throw ImageError(
        .different,
        "The image '\(path)' holds a disk of \(image.size) bytes, not of \(expected). "
          + "Remove it and export again.")
    }
    return image
  }

  private func checkFooter(of image: VHDImage, size: UInt64) throws(ImageError) {
    let expected = VHDFooter(
      kind: format == .fixedVHD ? .fixed : .dynamic, diskSize: try VHD.paddedSize(of: size),
      identifier: identifier, created: created)
    guard image.footer == expected else {
      throw ImageError(
        .different,
        "The footer of '\(image.path)' is not the one this export writes; it is of another disk, "
          + "point or format. Remove it and export again.")
    }
  }

  /// Where image and disk first differ; beyond the disk's end the image must hold zeros.
  private static func firstDifference(
    in range: Range<UInt64>, of image: any DiskContent, from content: any DiskContent,
    using buffer: UnsafeMutableRawBufferPointer
  ) throws(ImageError) -> Int? {
    let count = Int(range.upperBound - range.lowerBound)
    let kept = UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
    let wanted = UnsafeMutableRawBufferPointer(rebasing: buffer[count..<count * 2])
    try fromImage { try image.read(into: kept, at: range.lowerBound) }
    let inside = Int(min(range.upperBound, max(content.size, range.lowerBound)) - range.lowerBound)
    if inside > 0 {
      let part = UnsafeMutableRawBufferPointer(rebasing: wanted[..<inside])
      try fromSource { try content.read(into: part, at: range.lowerBound) }
    }
    UnsafeMutableRawBufferPointer(rebasing: wanted[inside...]).clear()
    return UnsafeRawBufferPointer(kept).firstDifference(from: UnsafeRawBufferPointer(wanted))
  }
}
