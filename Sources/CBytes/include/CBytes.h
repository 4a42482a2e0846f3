#ifndef TIDEMARK_CBYTES_H
#define TIDEMARK_CBYTES_H

#include <stddef.h>
#include <stdint.h>

/// Continues a CRC32C (Castagnoli, reflected polynomial 0x82F63B78, RFC 3720 B.4) over `count` bytes.
/// `crc` is the finished checksum of what came before, 0 at the start. Uses the processor's CRC32
/// instruction where it has one; Swift has no access to that instruction, hence this C.
uint32_t tidemark_crc32c(uint32_t crc, const void *bytes, size_t count);

/// The same by table, on any processor. The tests hold both against each other.
uint32_t tidemark_crc32c_portable(uint32_t crc, const void *bytes, size_t count);

/// Whether `count` bytes are all zero. C, because the compiler vectorises this loop here.
int tidemark_is_zero(const void *bytes, size_t count);

/// memset(3) to zero.
void tidemark_clear(void *bytes, size_t count);

/// The index of the first of `count` bytes in which `left` and `right` differ; `count` if none does.
size_t tidemark_difference(const void *left, const void *right, size_t count);

/// mallopt(3), which Swift's Glibc lacks: requests of less than `request` bytes come out of memory that was
/// freed before, of which up to `kept` bytes are not given back to the system. 0 if that is refused.
int tidemark_keep_freed_memory(int request, int kept);

#endif
