#ifndef TIDEMARK_CCODECS_H
#define TIDEMARK_CCODECS_H

#include <zlib.h>
#include <zstd.h>

// deflateInit2 and inflateInit2 are macros, which Swift can't import.

/// deflateInit2 for a raw deflate stream at `level`.
static inline int tidemark_deflate_init(z_stream *stream, int level) {
  return deflateInit2(stream, level, Z_DEFLATED, -15, 9, Z_DEFAULT_STRATEGY);
}

/// inflateInit2 for a raw deflate stream.
static inline int tidemark_inflate_init(z_stream *stream) { return inflateInit2(stream, -15); }

#endif
