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

/// O_DIRECT (open(2)) for all that is read of an open file from now on; 0, or -1 where that can't be done.
int tidemark_read_directly(int file);

/// BLKGETSIZE64: the size of a block device in bytes.
int tidemark_device_size(int device, uint64_t *size);

/// F_OFD_SETLK (fcntl_locking(2)) on the byte at `offset`: type is F_RDLCK, F_WRLCK or F_UNLCK.
int tidemark_lock_byte(int file, int64_t offset, int type);

/// F_OFD_GETLK for a write lock over `length` bytes from `offset` (0: to the end). Returns 1 and
/// sets `first` to the start of the lock in the way, 0 if there is none, -1 on error.
int tidemark_find_lock(int file, int64_t offset, int64_t length, int64_t *first);

/// statx(2) and FS_IOC_GETVERSION (ioctl(2)): when the file at `path` was made, in nanoseconds since
/// 1970, and its generation; `born` and `generation` stay as they are where that is not told.
int tidemark_file_origin(const char *path, int64_t *born, int64_t *generation);

/// statfs(2), which Swift's Glibc lacks: the `f_type` of where `path` lies.
int tidemark_file_system_type(const char *path, uint64_t *type);

/// FIFREEZE (ioctl_fsfreeze in linux/fs.h): writes out what the file system of an open directory holds,
/// and makes its writers wait. EBUSY if it is frozen already. May block for as long as writing takes.
int tidemark_freeze(int directory);

/// FITHAW: lets the writers go on. EINVAL if the file system is not frozen.
int tidemark_thaw(int directory);

/// connect(2) to the Unix socket at `path`; a long path costs another descriptor. Returns a descriptor, or -1.
/// Never blocks: EAGAIN while the listener's queue is full.
int tidemark_connect(const char *path);

/// Listens on a Unix socket at a path where there is nothing (bind(2), listen(2)), which only its owner may
/// connect to: a socket's file gets the permissions of its descriptor. Returns -1 on failure.
int tidemark_listen(const char *path);

/// Takes the next connection, which does not block (accept4(2)). Returns -1 on failure.
int tidemark_accept(int listener);

/// socketpair(2) or pipe2(2): two connected descriptors; of a pipe, the first is the one to read from.
int tidemark_channel(int is_socket, int ends[2]);

/// posix_spawn(3), with what Swift's Glibc can't ask for: a session (or else a process group) of its own,
/// no signal blocked or ignored, and no descriptor but 0, 1 and 2. `input` -1 is /dev/null. Returns 0 or
/// the error.
int tidemark_spawn(
    const char *program, char *const arguments[], char *const environment[], int input, int output,
    int error, int has_session, int *process);

/// pidfd_open(2), which Swift's Glibc lacks: a descriptor of a process, closed at exec; or -1.
int tidemark_process_open(int process);

/// pidfd_send_signal(2): sends a signal to the process of such a descriptor.
int tidemark_process_signal(int handle, int signal);

/// Lets this process and what it starts never gain rights again (prctl(2), PR_SET_NO_NEW_PRIVS); 0, or -1 and
/// errno.
int tidemark_gain_no_rights(void);

/// Makes this process, if it is root's, one of a user and a group without any others (setgroups(2),
/// setresgid(2), setresuid(2)), which can't be taken back; 0, or -1 and errno.
int tidemark_become(unsigned user, unsigned group);

#endif
