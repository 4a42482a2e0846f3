#ifndef TIDEMARK_CTHREADSANITIZER_H
#define TIDEMARK_CTHREADSANITIZER_H

/// Whether this program was built with the thread sanitizer.
int tidemark_is_thread_sanitized(void);

#endif
