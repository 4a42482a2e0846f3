internal import CCodecs

/// The state one thread needs to compress and decompress cells, kept so that no cell allocates.
///
/// Not for two threads at once. The input decides nothing but the result: bytes that are no valid
/// stream are a failure, never a trap.
public final class CellCoder {
  private let compression: OpaquePointer?
  private let decompression: OpaquePointer?
  private var deflater = z_stream()
  private var inflater = z_stream()
  private var zlibReady = false

  /// Makes the state of all codecs.
  public init() {
    compression = ZSTD_createCCtx()
    decompression = ZSTD_createDCtx()
  }

  deinit {
    ZSTD_freeCCtx(compression)
    ZSTD_freeDCtx(decompression)
    if zlibReady {
      deflateEnd(&deflater)
      inflateEnd(&inflater)
    }
  }

  /// Compresses `input` into `output`.
  ///
  /// - Returns: the length; nil if the result would not fit `output` (then store the input as it is).
  public func compress(
    _ input: UnsafeRawBufferPointer, with codec: Codec,
    into output: UnsafeMutableRawBufferPointer
  ) -> Int? {
    switch codec {
    case .none: return nil
    case .zstd:
      let length = ZSTD_compressCCtx(
        compression, output.baseAddress, output.count, input.baseAddress, input.count, 1)
      return ZSTD_isError(length) != 0 ? nil : length
    case .zlib:
      prepareZlib()
      deflateReset(&deflater)
      connect(&deflater, from: input, to: output)
      guard deflate(&deflater, Z_FINISH) == Z_STREAM_END else { return nil }
      return Int(deflater.total_out)
    }
  }

  /// Decompresses `input` into all of `output`.
  ///
  /// - Returns: false if the stream is not valid or does not give exactly `output.count` bytes.
  public func decompress(
    _ input: UnsafeRawBufferPointer, with codec: Codec,
    into output: UnsafeMutableRawBufferPointer
  ) -> Bool {
    switch codec {
    case .none:
      guard input.count == output.count else { return false }
      output.copyMemory(from: input)
      return true
    case .zstd:
      return ZSTD_decompressDCtx(
        decompression, output.baseAddress, output.count, input.baseAddress, input.count)
        == output.count
    case .zlib:
      prepareZlib()
      inflateReset(&inflater)
      connect(&inflater, from: input, to: output)
      guard inflate(&inflater, Z_FINISH) == Z_STREAM_END else { return false }
      return Int(inflater.total_out) == output.count && inflater.avail_in == 0
    }
  }

  private func prepareZlib() {
    guard !zlibReady else { return }
    guard tidemark_deflate_init(&deflater, 1) == Z_OK, tidemark_inflate_init(&inflater) == Z_OK
    else { fatalError("zlib could not allocate its state") }
    zlibReady = true
  }

  private func connect(
    _ stream: inout z_stream, from input: UnsafeRawBufferPointer,
    to output: UnsafeMutableRawBufferPointer
  ) {
    // zlib never writes through next_in; its C type merely lacks the const.
    stream.next_in = UnsafeMutablePointer(
      mutating: input.bindMemory(to: UInt8.self).baseAddress)
    stream.avail_in = UInt32(input.count)
    stream.next_out = output.bindMemory(to: UInt8.self).baseAddress
    stream.avail_out = UInt32(output.count)
  }
}
