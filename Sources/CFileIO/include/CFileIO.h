#ifndef TIDEMARK_CFILEIO_H
#define TIDEMARK_CFILEIO_H

#include <stdint.h>

// Swift can't import ioctl(2), fcntl(2) with a struct, or macros with a type in them; each function
// here is one such call. All return what the call returns and leave the reason in errno.

/// FICLONE (ioctl_ficlone(2)): makes `to`, an empty file, share all blocks of `from`. On btrfs both
/// must be alike in FS_NOCOW_FL (ioctl_iflags(2)), which disk images often carry: it is set on `to`.
int tidemark_clone(int to, int from);

/// One extent of a file; `physical` is meaningful only without the flags that say otherwise.
struct tidemark_extent {
  uint64_t logical;
  uint64_t physical;
  uint64_t length;
  uint32_t flags;
};

/// FS_IOC_FIEMAP with FIEMAP_FLAG_SYNC (Documentation/filesystems/fiemap.rst): the extents from byte
/// `start`, at most `capacity` of them. Returns how many, or -1.
int tidemark_extents(int file, uint64_t start, struct tidemark_extent *extents, unsigned capacity);

/// fallocate(2) with PUNCH_HOLE | KEEP_SIZE: frees the room of a range. Swift's Glibc lacks fallocate.
int tidemark_punch_hole(int file, int64_t offset, int64_t length);

/// sync_file_range(2) with SYNC_FILE_RANGE_WRITE: begins to write a range, without waiting for it.
int tidemark_begin_writeback(int file, int64_t offset, int64_t length);

/// BLKGETSIZE64: the size of a block device in bytes.
int tidemark_device_size(int device, uint64_t *size);

/// F_OFD_SETLK (fcntl_locking(2)) on the byte at `offset`: type is F_RDLCK, F_WRLCK or F_UNLCK.
int tidemark_lock_byte(int file, int64_t offset, int type);

/// F_OFD_GETLK for a write lock over `length` bytes from `offset` (0: to the end). Returns 1 and
/// sets `first` to the start of the lock in the way, 0 if there is none, -1 on error.
int tidemark_find_lock(int file, int64_t offset, int64_t length, int64_t *first);

/// statfs(2), which Swift's Glibc lacks: the `f_type` of where `path` lies.
int tidemark_file_system_type(const char *path, uint64_t *type);

#endif
