#include "CBytes.h"

#include <malloc.h>
#include <pthread.h>
#include <string.h>

static uint32_t table[8][256];
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static void fill_table(void) {
  for (uint32_t byte = 0; byte < 256; byte++) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (0x82F63B78u & (0u - (crc & 1)));
    table[0][byte] = crc;
  }
  for (uint32_t byte = 0; byte < 256; byte++)
    for (int slice = 1; slice < 8; slice++)
      table[slice][byte] = (table[slice - 1][byte] >> 8) ^ table[0][table[slice - 1][byte] & 0xFF];
}

uint32_t tidemark_crc32c_portable(uint32_t crc, const void *bytes, size_t count) {
  pthread_once(&table_once, fill_table);
  const uint8_t *next = bytes;
  crc = ~crc;
  for (; count >= 8; count -= 8, next += 8) {
    uint64_t word;
    memcpy(&word, next, 8);
    word ^= crc;
    crc = table[7][word & 0xFF] ^ table[6][(word >> 8) & 0xFF] ^ table[5][(word >> 16) & 0xFF] ^
          table[4][(word >> 24) & 0xFF] ^ table[3][(word >> 32) & 0xFF] ^
          table[2][(word >> 40) & 0xFF] ^ table[1][(word >> 48) & 0xFF] ^ table[0][word >> 56];
  }
  while (count--) crc = (crc >> 8) ^ table[0][(crc ^ *next++) & 0xFF];
  return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc32c_hardware(
    uint32_t crc, const void *bytes, size_t count) {
  const uint8_t *next = bytes;
  uint64_t wide = (uint32_t)~crc;
  for (; count >= 8; count -= 8, next += 8) {
    uint64_t word;
    memcpy(&word, next, 8);
    wide = __builtin_ia32_crc32di(wide, word);
  }
  uint32_t narrow = (uint32_t)wide;
  while (count--) narrow = __builtin_ia32_crc32qi(narrow, *next++);
  return ~narrow;
}

static int has_hardware(void) { return __builtin_cpu_supports("sse4.2"); }
#else
static uint32_t crc32c_hardware(uint32_t crc, const void *bytes, size_t count) {
  return tidemark_crc32c_portable(crc, bytes, count);
}

static int has_hardware(void) { return 0; }
#endif

uint32_t tidemark_crc32c(uint32_t crc, const void *bytes, size_t count) {
  return has_hardware() ? crc32c_hardware(crc, bytes, count)
                        : tidemark_crc32c_portable(crc, bytes, count);
}

int tidemark_is_zero(const void *bytes, size_t count) {
  const uint8_t *next = bytes;
  while (count >= 64) {
    uint64_t words[8], any = 0;
    memcpy(words, next, 64);
    for (int i = 0; i < 8; i++) any |= words[i];
    if (any) return 0;
    next += 64, count -= 64;
  }
  while (count--)
    if (*next++) return 0;
  return 1;
}

void tidemark_clear(void *bytes, size_t count) { memset(bytes, 0, count); }

size_t tidemark_difference(const void *left, const void *right, size_t count) {
  const uint8_t *one = left, *other = right;
  size_t at = 0;
  while (count - at >= 4096 && memcmp(one + at, other + at, 4096) == 0) at += 4096;
  while (at < count && one[at] == other[at]) at++;
  return at;
}

int tidemark_keep_freed_memory(int request, int kept) {
  return mallopt(M_MMAP_THRESHOLD, request) && mallopt(M_TRIM_THRESHOLD, kept);
}
