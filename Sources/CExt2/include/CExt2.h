#ifndef TIDEMARK_CEXT2_H
#define TIDEMARK_CEXT2_H

#include <stdint.h>

// libext2fs is asked through these few calls: its header is all macros and bit-fields, its io_manager a table
// of functions that Swift can't fill in, and each of its loops over what is on a disk needs a bound.

/// Fills `buffer` from `offset`; 0, or anything else if that can't be done.
typedef int (*tidemark_ext2_reader)(void *context, uint64_t offset, void *buffer, uint64_t count);

/// Takes a name of a directory, without a zero at its end; 0 to go on.
typedef int (*tidemark_ext2_taker)(void *context, const char *name, int length);

struct tidemark_ext2;

/// Opens an ext2, ext3 or ext4 file system of `size` bytes for reading. Its journal is not replayed. Returns
/// nothing if there is none, or it is damaged. `reader` is called until it is closed.
struct tidemark_ext2 *tidemark_ext2_open(void *context, tidemark_ext2_reader reader, uint64_t size);

void tidemark_ext2_close(struct tidemark_ext2 *system);

/// The file system's identifier.
void tidemark_ext2_identifier(struct tidemark_ext2 *system, uint8_t bytes[16]);

/// Reads the start of a file, symbolic links followed. Returns the bytes read, -1 if there is no such file,
/// -2 if it can't be read.
int64_t tidemark_ext2_read(
    struct tidemark_ext2 *system, const char *path, uint64_t offset, void *buffer, uint32_t capacity);

/// Tells the names in a directory, symbolic links followed, but for "." and "..". Returns 0, -1 if there is no
/// such directory, -2 if it can't be read to its end.
int tidemark_ext2_list(
    struct tidemark_ext2 *system, const char *path, void *context, tidemark_ext2_taker taker);

/// What a path is: 0 nothing, 1 a file, 2 a directory, 3 something else, -2 if that can't be told. Symbolic
/// links are followed.
int tidemark_ext2_kind(struct tidemark_ext2 *system, const char *path);

#endif
